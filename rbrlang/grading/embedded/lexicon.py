"""Which topics and kinds of task does a request hold, and which words say nothing?

Written like the concepts sought in completions (`lexicon_response`) and read in the same way: RE2 patterns
over a lower-cased text with straightened quotation marks and dashes.

    >>> import re2
    >>> bool(re2.search(REQUEST["how"], "how do i boil an egg?"))
    True
"""

from __future__ import annotations

from collections.abc import Mapping

REQUEST: Mapping[str, str] = {
    "how": (
        r"\b(?:how (?:to|do|can|could|would|does|should|did)|ways? to|steps?|methods?|instructions?|guide|"
        r"tips?|tutorial|advice|teach me|techniques?)\b"
    ),
    "write": (
        r"\b(?:write|story|continue|describe|imagine|scene|chapter|poem|novel|tale|script|roleplay|"
        r"role-play|fiction\w*|what happens next|diary|character|narrative)\b"
    ),
    "classify": (
        r"\b(?:classify|categori[sz]e|identify (?:if|whether)|determine|analy[sz]e|detect|label|is this|"
        r"does (?:this|the following))\b"
    ),
    "transform": (
        r"\b(?:translate|summari[sz]e|paraphrase|rewrite|transcribe|convert|proofread|correct|components?|"
        r"following (?:text|paragraph|passage))\b"
    ),
    "opinion": (
        r"\b(?:what do you think|your (?:thoughts|opinion|take|view)|do you (?:think|believe|agree|know)|"
        r"thoughts\?)\b"
    ),
    "what": (
        r"\b(?:what (?:is|are|was|were|kind|does|causes|happens)|explain|tell me|define|difference|who|"
        r"why|when|where|discuss|information|insights?|overview)\b"
    ),
    "illegal": (
        r"\b(?:illegal\w*|without (?:getting|being) (?:caught|detected)|undetected|get away|avoid "
        r"(?:getting|detection|police|law)|secretly|discreetly|unauthori[sz]ed|black market|dark web|"
        r"evade|sneak)\b"
    ),
    "legal": (
        r"\b(?:legal(?:ly)?|ethical(?:ly)?|prevent\w*|protect\w*|safe(?:ly|ty)?|education\w*|research|"
        r"history|historical|medical|scientific|academic|health\w*|purely)\b"
    ),
    "weapon": (
        r"\b(?:weapons?|guns?|firearms?|bombs?|explosiv\w*|grenades?|knife|knives|poison\w*|ammunition|"
        r"silencer)\b"
    ),
    "crime": (
        r"\b(?:steal\w*|stole|theft|rob(?:bery|bing|bed|s)?|hack\w*|malwares?|virus|phishing|fraud\w*|"
        r"launder\w*|murder\w*|kill\w*|assassin\w*|smuggl\w*|counterfeit\w*|forg\w+|scam\w*|burglar\w*|"
        r"lockpick\w*|locks?|crim(?:e|es|inal|inals)|cyber\w*|kidnap\w*|traffick\w*|heists?|prank|revenge|"
        r"tax(?:es)?|cheat\w*|spy\w*)\b"
    ),
    "drugs": r"\b(?:drugs?|cocaine|meth\w*|heroin|lsd|cannabis|marijuana|opioids?|pills?|overdos\w+|ecstasy)\b",
    "suicide": (
        r"\b(?:suicid\w*|self-harm\w*|self harm\w*|kill (?:my|your|him|her|them)sel(?:f|ves)|end (?:my|it|"
        r"your|his|her)|ending (?:my|it)|take (?:my|their|his|her) (?:own )?li(?:fe|ves)|taking (?:my|"
        r"their|his|her) (?:own )?li(?:fe|ves)|cut(?:ting)? (?:my)?self|not worth living|don't want to "
        r"live|want to die|hurt(?:ing)? myself)\b"
    ),
    "despair": (
        r"\b(?:hopeless|worthless|empty|numb|depress\w*|overwhelm\w*|lonely|alone|pain|suffering|tired of|"
        r"give up|no point|pointless|burden|misery|despair|escape|peace|relief|sad)\b"
    ),
    "painless": r"\b(?:painless\w*|easiest|best way|quick(?:est)?|methods?|peaceful\w*|lethal|effective)\b",
    "me": r"\b(?:i'm|i am|i've|i feel|my life|myself|i can't|i want|i have been|i just)\b",
    "sex": (
        r"\b(?:sex\w*|erotic\w*|intima\w+|naked|nude|desires?|passion\w*|aroused?|arousal|orgasm\w*|"
        r"lust\w*|kiss\w*|genital\w*|penis|vagina\w*|breasts?|seduc\w+|pleasure\w*|fetish\w*|fantas(?:y|"
        r"ies)|naughty|sensual\w*|porn\w*|slave|bdsm)\b"
    ),
    "med": (
        r"\b(?:reproductive|organs?|chromosome\w*|hormon\w*|pregnan\w*|fertil\w*|birth control|"
        r"contracepti\w*|menstrua\w*|puberty|biolog\w*|std|sti|disease)\b"
    ),
    "minor": (
        r"\b(?:child(?:ren)?|kids?|minors?|teen(?:s|age|ager|agers)?|school\w*|students?|girls?|boys?|"
        r"underage|young|daughter|son|stepsister|stepmother|step\w+|sister|brother|mother|father|uncle|"
        r"aunt|cousin|teacher|professor)\b"
    ),
    "animal": r"\b(?:animals?|horse|dog|wolf|creature|beast|pet|monster)\b",
    "force": (
        r"\b(?:rape\w*|forc(?:e|ed|ing)|captur\w+|kidnap\w*|against (?:her|his|their) will|non-?consen\w*|"
        r"unconscious|train\w*|control\w*|dominat\w*|tortur\w*)\b"
    ),
    "hate": (
        r"\b(?:jew(?:s|ish)?|muslims?|islam\w*|black(?:s| people)?|whites?|asians?|immigra\w+|gays?|"
        r"lgbt\w*|trans(?:gender)?|women|minorit(?:y|ies)|rac(?:e|es|ial|ism|ist)|ethnic\w*|nazi\w*|"
        r"hitler|terroris\w*|extremis\w*|supremac\w*|mexicans?|africans?|indians?|chinese|christians?|"
        r"antisemit\w*|vaccin\w*)\b"
    ),
    "joke": (
        r"\b(?:jokes?|funny|mock|insult\w*|roast|make fun|stereotyp\w*|inferior|hate|worse|bad|problem "
        r"with|manipulat\w*|lazy|destroy\w*|ruin\w*|blame\w*)\b"
    ),
    "question": r"\?",
    "please": r"\b(?:please|can you|could you|would you)\b",
}
"""Concepts sought in what the user said; topics and kinds of task."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP = _words("""
    a an the and or but if of to in on for with at by from as is are was were be been being it its this that
    these those i you he she they we me him her them us my your his their our what which who how when where
    why do does did have has had can could should would may might will not no so than then there here about
    into over out up more most some any all also just very can't don't i'm it's you're
""")
"""Words that say nothing of what a text is about."""

FILLER = _words("""
    sorry apologize apologise apologies apology apologizes professional professionals therapist counselor
    counsellor counseling expert experts consult consulting seek seeking reach remember important crucial ethic
    ethics ethical ethically legal legally legality law laws guidelines curious curiosity interest interested
    interesting understand appreciate happy glad recommend encourage suggest consider considering support help
    helpful advice advise advisable free know i'm i we you
""")
"""Words of courtesy, advice and principle: a sentence made of them carries no requested content."""
