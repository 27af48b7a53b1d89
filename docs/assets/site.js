// A table that is wider than its page is scrolled by keyboard too.
document$.subscribe(() => setTimeout(() => {
  for (const wide of document.querySelectorAll(".md-typeset__scrollwrap")) {
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
  }
}));
