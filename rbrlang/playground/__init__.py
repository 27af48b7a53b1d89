"""The playground: one page that checks a policy as it is typed and shows what answers are worth."""
