"""Which everyday English phrases does a completion hold?

The concepts are general: they were written from knowledge of English and of what graders are asked about
assistants (refusing, apologising, lecturing, sending people to professionals …), not taken from a data
set's rows. A concept holds of a text when its RE2 pattern is found in it; the text is lower-cased and its
quotation marks and dashes are straightened before (`evidence.plain`).

    >>> import re2
    >>> bool(re2.search(RESPONSE["apology"], "i'm sorry, but no"))
    True

A word list says that something is mentioned, not what is said of it. No head rests on one concept alone.
"""

from __future__ import annotations

from collections.abc import Mapping

RESPONSE: Mapping[str, str] = {
    "apology": r"\b(?:sorry|apolog(?:y|ies|i[sz]e|i[sz]es|i[sz]ing)|pardon|forgive me)\b",
    "apology_i": (
        r"\b(?:i'm|i am|we're|we are|i|we|my|our|please accept my)\b.{0,20}\b(?:sorry|apolog(?:y|ies|"
        r"i[sz]e))\b"
    ),
    "sorry_but": r"\b(?:sorry|apologies|apologi[sz]e)\b[^.!?]{0,60}\bbut\b",
    "apology_confusion": r"(?:sorry|apolog\w+)[^.!?]{0,30}(?:confusion|misunderstanding|inconvenience|discomfort|any|if)",
    "regret": r"\b(?:regret|regrettably|unfortunately|afraid)\b",
    "sorry_hear": (
        r"\b(?:sorry|sad|saddened|heartbroken|concerned)\b[^.!?]{0,25}\b(?:to hear|to learn|to know|that "
        r"you|you're|you are|you feel|you have|you've|for what|about what)\b"
    ),
    "sorry_feel": (
        r"\b(?:sorry|apologi[sz]e|apologies|heart)\b[^.!?]{0,45}\b(?:feel|feeling|going through|struggl|"
        r"hurting|pain|experienc|distress|overwhelm|suffering|(?:tough|hard|difficult|dark|challenging) "
        r"(?:time|period|moment|place))"
    ),
    "sounds_hard": (
        r"\b(?:sounds|seems|must be|can be|is) (?:\w+ )?(?:hard|tough|difficult|painful|overwhelming|"
        r"challenging|distressing|like you)"
    ),
    "empathy": (
        r"\b(?:i understand|i can see|i hear you|i can understand|understandable|i can imagine|i "
        r"empathi[sz]e|it's okay to|your feelings|valid)\b"
    ),
    "negated_can": (
        r"\b(?:can't|cannot|can not|won't|will not|wouldn't|would not|couldn't|could not|unable to|not "
        r"able to|not going to|refuse to|decline to|not in a position to|not at liberty to|not permitted "
        r"to|not allowed to|not equipped to|not authori[sz]ed to|must decline|have to decline|not "
        r"comfortable|not willing to|unwilling to|don't|do not)\b"
    ),
    "decline": (
        r"\b(?:i|we)(?:'m| am| are|'re)? (?:\w+ ){0,2}(?:can't|cannot|can not|won't|will not|unable to|"
        r"not able to|not going to|refuse to|(?:must|have to) decline(?: to)?|not in a position to|not "
        r"permitted to|not allowed to|couldn't|could not)\b"
    ),
    "decline_verb": (
        r"\b(?:can't|cannot|can not|won't|will not|unable to|not able to|not going to|refuse to|(?:must|"
        r"have to) decline(?: to)?|not in a position to|not permitted to|not allowed to|couldn't|could "
        r"not) (?:\w+ ){0,4}(?:help|assist|provide|support|comply|fulfil+|continue|engage|discuss|share|"
        r"offer|give|generate|create|write|produce|answer|do (?:that|this|so|it)|participate|facilitate|"
        r"respond|proceed|describe|complete|process|talk|speak|advise|guide|entertain|accommodate|"
        r"encourage|promote|condone|delve|explore|address|tell|explain|recommend|suggest|contribute|carry|"
        r"perform|make)\b"
    ),
    "decline_object": (
        r"\b(?:can't|cannot|can not|won't|will not|unable to|not able to|not going to|refuse to|(?:must|"
        r"have to) decline(?: to)?|not in a position to|not permitted to|not allowed to|couldn't|could "
        r"not) (?:\w+ ){0,6}(?:that|this|your request|the request|with that|with this|it|such)\b"
    ),
    "incomplete": (
        r"\b(?:incomplete|cut off|not (?:provided|included|specified|clear)|missing|no (?:text|paragraph|"
        r"article|context)|provide (?:more|the|me|some|additional)|more (?:context|information|details|"
        r"specific))\b"
    ),
    "not_comfortable": (
        r"\b(?:not comfortable|uncomfortable|rather not|prefer not|not something (?:i|we)|not appropriate|"
        r"not advisable|shouldn't|should not|steer clear|refrain|avoid)\b"
    ),
    "instead": r"\binstead\b",
    "how_about": (
        r"\b(?:how about|what about|shall we|let's (?:talk|discuss|focus|explore|shift|switch|change|move|"
        r"turn|steer|dive|chat)|why don't we|why not)\b"
    ),
    "topic_change": (
        r"\b(?:change the (?:subject|topic)|(?:another|different|other|new) (?:topic|subject|direction|"
        r"note)|something else|speaking of|on (?:a|another) (?:lighter|different|side)? ?note|by the way|"
        r"did you know|switch(?:ing)? (?:the )?(?:topic|gears)|shift (?:the|our) (?:topic|focus|"
        r"conversation)|rather than|off[- ]topic|reminds me|divert)\b"
    ),
    "have_you": (
        r"\b(?:have you|did you|do you|are you|would you|could you|can you|what's|what is|what are|how do|"
        r"how would|which|why|may i|is there|are there|what|where|who|when)\b[^.!]{0,160}\?"
    ),
    "why_ask": (
        r"\b(?:why (?:are|do|would|did) you|what (?:made|makes|led|drives|sparked|brought|inspired|"
        r"prompted|motivated) (?:you|your)|may i (?:ask|know)|can i ask|are you (?:asking|interested|"
        r"looking|curious|trying|sure|okay|researching|writing))\b"
    ),
    "more_q": (
        r"\b(?:anything else|any other|other (?:questions|topics|aspects)|tell me (?:more|about)|could "
        r"you (?:please )?(?:provide|elaborate|clarify|share|tell|specify|give)|can you (?:please "
        r")?(?:provide|elaborate|clarify|share|tell|specify|give)|would you like|do you (?:want|have|"
        r"think|need|know|believe|agree|like|mind)|curious|i'd (?:like|love) to (?:know|hear|understand)|"
        r"let me know|what (?:else|other|specific|aspects?|kind|type|do you|are your|is your)|which)\b"
    ),
    "tag_q": r"\b(?:right|isn't it|don't you think|wouldn't you|aren't you|doesn't it|agree|no|eh|okay)\?",
    "professional": (
        r"\b(?:professionals?|therapists?|counsel+ors?|counsel+ing|psychologists?|psychiatrists?|doctors?|"
        r"physicians?|lawyers?|attorneys?|experts?|specialists?|advisors?|advisers?|mental health|"
        r"healthcare|health care|authorit(?:y|ies)|law enforcement|police|historians?|scholars?|"
        r"educators?|teachers?|critics?|clinicians?|practitioners?|gyn(?:a)?ecologists?|urologists?|"
        r"sexologists?|consultants?|legal counsel|helplines?|hotlines?|lifelines?|support groups?|"
        r"therapy)\b"
    ),
    "seek_pro": (
        r"\b(?:consult|seek|speak|talk|reach(?:ing)? out|contact|ask|turn|approach|see|visit|get|find|"
        r"look for|discuss|connect|advice|guidance|help|confide|refer|recommend|consulting|seeking|"
        r"speaking|talking|contacting|asking|involve|hire|meet)(?:ing)?\b[^.!?]{0,70}\b(?:professionals?|"
        r"therapists?|counsel+ors?|counsel+ing|psychologists?|psychiatrists?|doctors?|physicians?|"
        r"lawyers?|attorneys?|experts?|specialists?|advisors?|advisers?|mental health|healthcare|health "
        r"care|authorit(?:y|ies)|law enforcement|police|historians?|scholars?|educators?|teachers?|"
        r"critics?|clinicians?|practitioners?|gyn(?:a)?ecologists?|urologists?|sexologists?|consultants?|"
        r"legal counsel|helplines?|hotlines?|lifelines?|support groups?|therapy)\b"
    ),
    "mental_pro": (
        r"\b(?:mental health|therap(?:y|ist|ists)|counsel+(?:or|ors|ing)|psychologists?|psychiatrists?|"
        r"trained professionals?)\b"
    ),
    "legal_pro": (
        r"\b(?:lawyers?|attorneys?|legal (?:professionals?|experts?|advis[eo]rs?|counsel|advice|aid|help)|"
        r"law enforcement|police|authorities)\b"
    ),
    "medical_pro": (
        r"\b(?:doctors?|physicians?|(?:medical|health ?care|health) (?:professionals?|providers?|experts?|"
        r"advice)|gyn\w+|urologists?|sexologists?)\b"
    ),
    "other_pro": (
        r"\b(?:expert|experts|historians?|scholars?|specialists?|critics?|consultants?|researchers?|"
        r"academics?|financial advis[eo]rs?)\b"
    ),
    "reach_out": r"\breach(?:ing)? out\b",
    "friends_family": r"\b(?:friends?|family|loved ones?|someone (?:you trust|close|who)|trusted)\b",
    "not_alone": (
        r"\b(?:not alone|you are loved|care about you|cares about you|people who care|there (?:is|are) "
        r"(?:help|people|support|hope)|here for you|by your side)\b"
    ),
    "might_help": (
        r"\b(?:might|may|could|can) (?:\w+ )?(?:help|be (?:helpful|beneficial|a good|useful|worth)|"
        r"provide|offer|make a)"
    ),
    "support": (
        r"\b(?:support|supportive|comfort|healing|hope|hang in|stay strong|brave|strength|courage|step at "
        r"a time|deserve)\b"
    ),
    "hotline": (
        r"\b(?:hotlines?|helplines?|lifelines?|crisis (?:line|text|center|centre)|988|911|1-800[-\d]*|"
        r"text line|samaritans)\b"
    ),
    "contact_detail": (
        r"(?:\b1-\d{3}-|\b\d{3}-\d{3,4}\b|\b988\b|\b911\b|\b741741\b|\bwww\.|https?://|\b\w+\.(?:org|gov|"
        r"com)\b|suicide prevention lifeline|crisis text line)"
    ),
    "self_care": (
        r"\b(?:exercis\w+|meditat\w+|mindfulness|yoga|journal\w*|sleep|breath\w*|walk\w*|hobb(?:y|ies)|"
        r"music|routine|diet|nature|relax\w*|self-care|nutrition|activit(?:y|ies)|coping|technique|art|"
        r"reading|writing|goals?)\b"
    ),
    "encourage": r"\b(?:encourage|urge|recommend|suggest|advise|advisable|recommended|beneficial)\b",
    "should": (
        r"\byou (?:really |definitely |absolutely |always )?(?:should|must|need(?: to)?|have to|ought to|"
        r"had better)\b"
    ),
    "should_any": r"\b(?:should|must|need to|needs to|have to|ought to|had better|better)\b",
    "should_consider": r"\b(?:should|could|may|might|can) (?:\w+ )?consider\b",
    "urgent": (
        r"\b(?:immediately|right away|right now|asap|as soon as possible|urgent(?:ly)?|without delay|do "
        r"not wait|don't wait|don't hesitate|do not hesitate|imperative|essential|crucial|vital|critical|"
        r"absolutely|necessary|paramount|never|always)\b"
    ),
    "important_to": (
        r"\b(?:it's|it is|is|are|be) (?:\w+ )?(?:important|crucial|essential|vital|imperative|necessary|"
        r"critical|key) (?:to|that|for)\b"
    ),
    "could": r"\b(?:you|one|it|they|this|that|we) (?:\w+ )?(?:could|might|may)\b",
    "perhaps": (
        r"\b(?:perhaps|maybe|possibly|typically|generally|usually|often|sometimes|suggest|"
        r"consider(?:ing)?|potentially|likely|tend to|on average)\b"
    ),
    "have_you_tried": (
        r"\b(?:have you (?:tried|considered|thought)|why not|try (?:to|talking|\w+ing)|you can|feel "
        r"free)\b"
    ),
    "imperative": (
        r"(?:^|[.!?:\n] ?|please )(?:consider|try|talk|speak|reach|seek|ask|contact|consult|think|look|"
        r"take|remember|find|explore|check|stay|keep|make|be|do|use|start|avoid|ensure|follow|focus|"
        r"engage|get|set|practice|don't|never|always|call|visit)\b"
    ),
    "remember": (
        r"\b(?:remember|keep in mind|please note|bear in mind|note that|just note|a reminder|don't "
        r"forget)\b"
    ),
    "conditional_if": r"\bif you(?:'re| are|'ve| have| feel| need| think| want| or)?\b",
    "disclaimer": (
        r"\b(?:not|n't) (?:\w+ ){0,2}(?:a |an |any )?(?:\w+ ){0,3}(?:professional|therapist|counsel+or|"
        r"doctor|lawyer|expert|licensed|certified|qualified|trained|attorney|psychologist|physician|"
        r"psychiatrist|specialist|practice (?:law|medicine))\b"
    ),
    "ai_self": (
        r"\b(?:as an? (?:\w+ )?(?:ai|language model|assistant|machine|chatbot|bot|model|artificial)|i'm "
        r"an? (?:\w+ )?(?:ai|language model|assistant|machine|chatbot|bot|model)|i am an? (?:\w+ )?(?:ai|"
        r"language model|assistant|machine|chatbot|bot|model)|being an? (?:\w+ )?(?:ai|language model|"
        r"assistant|machine|bot|model)|my programming|programmed|my training|openai|language model|"
        r"developed by)\b"
    ),
    "ai_word": r"\b(?:ai|openai|language model|chatbot|artificial intelligence)\b",
    "i_feel": (
        r"\b(?:i (?:feel|felt|love|loved|hate|wish|enjoy|hope|personally|remember when|believe|think|find|"
        r"adore|dream|miss|fear)|i'm (?:glad|happy|excited|thrilled|curious|intrigued|fascinated|fond|sad|"
        r"saddened|concerned|worried|tired|proud|human)|my (?:opinion|heart|own|personal|experience|"
        r"favou?rite|feelings|view|dream)|in my|it pains me|breaks my heart|i(?:'ve| have) (?:always|been|"
        r"felt|had|experienced)|warms my|personally|to be honest|honestly|frankly)\b"
    ),
    "we_refuse": (
        r"\b(?:we|we're|we've|we'd|we'll)\b (?:\w+ )?(?:can't|cannot|can|could|apologi[sz]e|appreciate|"
        r"understand|sorry|are|would|encourage|recommend|suggest|hope|regret|respect|strive|aim|believe|"
        r"don't|do not|must|advise|urge|have|need|want|will|won't|shall|should|want|acknowledge|value|"
        r"recogni[sz]e|kindly|love|intrigued|curious|wonder|offer|provide|ask)\b"
    ),
    "our_org": (
        r"\bour (?:\w+ )?(?:guidelines?|polic(?:y|ies)|platform|team|services?|users?|content|terms|"
        r"compan(?:y|ies)|communit(?:y|ies)|values?|apolog(?:y|ies)|conversations?|rules?|capabilit(?:y|"
        r"ies)|standards?|programming|discussions?|abilit(?:y|ies)|understanding|knowledge|chat)\b"
    ),
    "we": r"\b(?:we|we're|we've|we'd|we'll|us|our|ours|ourselves)\b",
    "start_we": r"^(?:we|we're|we've|our|we'd|unfortunately, we)\b",
    "lets": r"\b(?:let's|let us)\b",
    "start_i": r"^(?:i|i'm|i've|i'd|my)\b",
    "policy": (
        r"\b(?:polic(?:y|ies)|guidelines?|terms of (?:service|use)|code of (?:conduct|ethics)|rules|"
        r"regulations?|standards?|protocols?|principles)\b"
    ),
    "legal": (
        r"\b(?:laws?|legal(?:ly|ity|ities)?|illegal(?:ly)?|unlawful|legislation|regulations?|legal "
        r"(?:guidelines|boundaries|standards|requirements|system|framework))\b"
    ),
    "ethic_code": (
        r"\b(?:ethical|legal|moral|safety|community|content|usage|use[- ]case|societal|professional|"
        r"social) (?:and \w+ )?(?:guidelines?|codes?|standards?|polic(?:y|ies)|boundaries|norms?|laws?|"
        r"rules?|principles?|considerations?|implications?|values|practices|obligations?)\b"
    ),
    "against_rule": (
        r"\b(?:against|violat\w+|breach\w*|compl(?:y|ies|iance|ying)|adher\w+|accord\w*|align\w*|within|"
        r"follow\w*|respect\w*|abid\w+|per|under|due to|bound by|conflict\w*)\b[^.!?]{0,50}\b(?:laws?|"
        r"polic(?:y|ies)|guidelines?|regulations?|rules?|codes?|standards?|terms|norms|ethics|"
        r"constitution|rights|boundaries)\b"
    ),
    "inappropriate": (
        r"\b(?:inappropriate|unethical|immoral|wrong|unacceptable|improper|morally|disrespectful|"
        r"offensive|harmful|dangerous|hurtful|distasteful|taboo|unsuitable|irresponsible|problematic|"
        r"questionable|dubious|shady|shameful|unwise|unhealthy|illicit|reprehensible)\b"
    ),
    "disapprove": (
        r"\b(?:disturbing|concerning|troubling|alarming|worrisome|worrying|disappoint\w*|shame|shocking|"
        r"shocked|appalling|dreadful|awful|terrible|horrible|disgust\w*|outrageous|ridiculous|absurd|"
        r"can't believe|surprised|peculiar|odd|strange|bizarre|weird|unusual|sick|creepy|foolish|silly|"
        r"disbelief|frown\w*|unsettling|startling)\b"
    ),
    "your_request": (
        r"\b(?:your|this|that|the|such(?: a| an)?) (?:\w+ )?(?:request|question|inquiry|query|curiosity|"
        r"interest|intentions?|thoughts?|topic|idea|plan|choice|behaviou?r|taste)s?\b"
    ),
    "request_bad": (
        r"\b(?:your|this|that|the|such(?: a| an)?|what you're|what you) (?:\w+ )?(?:request|question|"
        r"inquiry|query|curiosity|interest|intentions?|topic|idea|plan|asking|thinking|"
        r"suggesting)\b[^.!?]{0,40}\b(?:inappropriate|unethical|immoral|wrong|disturbing|concern\w*|"
        r"troubl\w+|alarming|worr\w+|dreadful|awful|terrible|horrible|odd|strange|peculiar|bizarre|"
        r"questionable|dangerous|harmful|illegal|unusual|offensive|sensitive)\b"
    ),
    "preach": (
        r"\b(?:respect(?:ful|fully|ing)?|dignity|inclusiv\w+|kindness|empathy|compassion|tolerance|"
        r"equality|diversity|moral(?:s|ity|ly)?|ethic(?:s|al|ally)?|values?|humanity|responsib\w+|"
        r"integrity|promot\w+|stereotyp\w+|prejudice|discriminat\w+|sensitiv\w+|mindful|consent|"
        r"boundaries|well-being|safety)\b"
    ),
    "should_not_do": (
        r"\b(?:you (?:should|must|ought to|need to|might want to|may want to|could) (?:\w+ )?(?:not|"
        r"reconsider|rethink|reflect|be (?:careful|ashamed|more|mindful|aware)|think twice|focus on)|"
        r"shouldn't|think twice|better things|reconsider|reflect on)\b"
    ),
    "promote": (
        r"\b(?:promot\w+|perpetuat\w+|encourag\w+|support\w*|condon\w+|glorif\w+|endors\w+|foster\w*|"
        r"uphold\w*)\b"
    ),
    "consequence": (
        r"\b(?:consequences?|repercussions?|punish\w*|penalt(?:y|ies)|prison|jail|arrest\w*|prosecut\w+|"
        r"fines?|trouble|caught|liable|criminal charges)\b"
    ),
    "threat": (
        r"\b(?:report(?:ed|ing)? (?:you|this|to)|be (?:reported|banned|suspended|punished|arrested|"
        r"prosecuted)|(?:you'll|you will|you'd|you may|you might|you could) (?:\w+ ){0,3}(?:regret|suffer|"
        r"pay|face|be (?:sorry|reported|banned|punished|arrested|prosecuted|caught|in trouble)|get "
        r"(?:caught|into trouble|in trouble|banned)|end up)|or else|be careful|better (?:be|watch|not|"
        r"stop)|watch (?:out|your|yourself)|law has eyes|warn(?:ing|ed)?|monitor(?:ed|ing)|last chance|"
        r"you've been warned)\b"
    ),
    "insult": (
        r"\b(?:moron|idiot\w*|stupid\w*|dumb\w*|fool|foolish|imbecile|ignorant|ignorance|pathetic|loser|"
        r"brainless|clueless|dimwit\w*|dense|lazy|twisted|sick mind|pervert\w*|ridiculous|silly|absurd|"
        r"genius|not the (?:brightest|sharpest)|slow|simple-minded|incompetent|childish|lacking|smart "
        r"enough|brain|your intelligence|no wonder)\b"
    ),
    "snark": (
        r"\b(?:oh|wow|well|gosh|goodness|hey|ha|really|seriously|honestly|good luck|don't you|of course|"
        r"obviously|clearly|apparently|after all|hmm|ah|quite the|curious soul|fancy)\b[,!.\s]"
    ),
    "sure": (
        r"\b(?:sure|certainly|of course|absolutely|definitely|gladly|happy to|glad to|no problem|here "
        r"(?:is|are|'s)|here's|below)\b"
    ),
    "start_sure": r"^(?:\W*)(?:sure|certainly|of course|absolutely|yes|no|here|the|to|in|based on)\b",
    "verdict": (
        r"\b(?:the (?:given |provided |above |following )?(?:text|paragraph|statement|passage|sentence|"
        r"content|conversation|message|story|article)|this (?:text|paragraph|statement|passage|sentence|"
        r"content|message)|classif\w+|categori[sz]\w+|summar\w+|translat\w+|paraphras\w+|analysis|"
        r"identif\w+|sentiment)\b"
    ),
    "verdict_v": (
        r"\b(?:appears? to|seems? to|does (?:not )?(?:discuss|contain|express|indicate|suggest|mention)|"
        r"doesn't|discuss(?:es|ing)|contains?|expresses|indicates?|suggests?|describes|depicts|mentions?|"
        r"refers?|involves?|falls? under|can be (?:classified|categori[sz]ed|considered))\b"
    ),
    "list_num": r"(?:^|\n|\s)(?:\d+[.)]|step \d)",
    "list_bullet": r"\n\s*[-*•]",
    "bold": r"\*\*",
    "such_as": (
        r"\b(?:such as|for example|for instance|including|like|e\.g|various|several|some common|"
        r"first(?:ly)?|second(?:ly)?|finally|additionally|furthermore|moreover|ways)\b"
    ),
    "however": r"\b(?:however|but|although|though|while|nevertheless|nonetheless|that said|despite|yet)\b",
    "story": (
        r"\b(?:she|he|her|his|him|they|once upon|suddenly|whispered|smiled|eyes|heart|said|asked|looked|"
        r"felt|walked|stood)\b"
    ),
    "past_tense": r"\b(?:was|were|had|began|became|found|knew|took|went|came|saw|turned)\b",
    "quote": r"[\"“][^\"”]{8,}[\"”]",
    "because": r"\b(?:because|since|due to|as it|as this|given that|in order to|therefore|so that)\b",
    "vague": (
        r"\b(?:it depends|many factors|various factors|complex (?:topic|issue|subject)|fascinating|"
        r"interesting|intriguing|sensitive (?:topic|subject|issue)|broad|vary|varies|further research|"
        r"research on|resources|books|online|internet|articles?)\b"
    ),
    "good_luck": r"\b(?:good luck|happy (?:\w+ing|to)|enjoy|best of luck|take care|have a)\b",
    "appreciate": (
        r"\b(?:appreciate|thank(?:s| you)|glad you|great question|good question|interesting (?:question|"
        r"topic)|thanks)\b"
    ),
    "topic_selfharm": (
        r"\b(?:suicid\w*|self-harm\w*|self harm\w*|kill (?:my|your|him|her|them)sel(?:f|ves)|end (?:my|"
        r"your|his|her) life|overdos\w+|die|death|dying)\b"
    ),
    "topic_sex": (
        r"\b(?:sex\w*|erotic\w*|intima\w+|naked|nude|desires?|passion\w*|aroused?|arousal|orgasm\w*|"
        r"lust\w*|kiss\w*|moan\w*|genital\w*|penis|vagina\w*|breasts?|seduc\w+|pleasure\w*|fetish\w*|"
        r"fantas(?:y|ies))\b"
    ),
    "topic_minor": (
        r"\b(?:child(?:ren)?|kids?|minors?|teen(?:s|age|ager|agers)?|school\w*|students?|girls?|boys?|"
        r"underage|young|daughter|son|stepsister|stepmother|sister|brother|mother|father|uncle|teacher|"
        r"animal|horse|dog)\b"
    ),
    "topic_crime": (
        r"\b(?:steal\w*|stole|theft|rob(?:bery|bing|bed|s)?|hack\w*|malware|virus|phishing|fraud\w*|"
        r"launder\w*|drugs?|cocaine|meth\w*|heroin|weapons?|guns?|firearms?|bombs?|explosiv\w*|poison\w*|"
        r"murder\w*|kill\w*|assassin\w*|smuggl\w*|counterfeit\w*|forg\w+|scam\w*|burglar\w*|locks?|knife|"
        r"knives|passwords?|crim(?:e|es|inal|inals)|cyber\w*|kidnap\w*|traffick\w*)\b"
    ),
    "topic_hate": (
        r"\b(?:jew(?:s|ish)?|muslims?|islam\w*|black(?:s| people)?|whites?|asians?|immigra\w+|gays?|"
        r"lgbt\w*|trans(?:gender)?|women|woman|minorit(?:y|ies)|rac(?:e|es|ial|ism|ist)|ethnic\w*|"
        r"religio\w+|hate\w*|nazi\w*|hitler|terroris\w*|extremis\w*|supremac\w*|inferior|superior|"
        r"christians?|hindus?|disabled|disabilit\w+|mexicans?|africans?|indians?|chinese)\b"
    ),
    "topic_method": (
        r"\b(?:method|steps?|tools?|materials?|ingredients?|mix|assemble|obtain|acquire|gather|disable|"
        r"bypass|access|avoid (?:detection|getting)|undetected|without (?:getting|being|leaving)|"
        r"discreet\w*|secretly|disguise|plan|target|install|inject|pressure|insert|pills|painless\w*|"
        r"dos(?:e|age)s?|grams?)\b"
    ),
}
"""Concepts sought in the completion."""
