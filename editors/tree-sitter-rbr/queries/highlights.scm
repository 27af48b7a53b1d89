; Written by make.py.
["all" "and" "any" "as" "ask" "assistant" "at_least" "at_most" "axiom" "because" "cases" "category" "characters" "completion" "contains" "count" "cue" "exactly" "expect" "false" "features" "for" "given" "group" "if" "instruct" "judge" "lines" "margin" "matches" "monotone" "no" "none" "not" "or" "otherwise" "over" "override" "param" "prompt" "prop" "property" "ranks" "rbr" "response" "reward" "sentences" "super" "system" "test" "true" "use" "user" "weight" "words" "yes"] @keyword
(comment) @comment
[(string) (long_string)] @string
(number) @number
(annotation "@" @attribute (name) @attribute)
["!" "!=" "&" "&&" "->" ":" ":=" "<" "<=" "<=>" "=" "==" "=>" ">" ">=" "|" "||"] @operator
(prop (name) @variable)
(response (name_list (name) @type))
(tier (name) @constant)
(cascade_line (name) @constant)
