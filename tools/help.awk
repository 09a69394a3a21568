# Prints the help of the Makefile: targets with "## " after them, variables with "## NAME (default): "
# above them, and the targets that the papers' eval.py files declare. Lines are 80 columns wide.

function show(name, text, width,    line, words, count, i) {
  line = sprintf("  %-22s", name)
  if (length(name) > 20) { print "  " name; line = sprintf("  %-22s", "") }
  count = split(text, words, " ")
  for (i = 1; i <= count; i++) {
    if (length(line) + 1 + length(words[i]) > 79) { print line; line = sprintf("  %-22s", "") }
    line = line " " words[i]
  }
  print line
}

BEGIN { print "make TARGET [VARIABLE=value ...]\n\nEverything" }

# Of the Makefile and its parts.
FILENAME !~ /eval\.py$/ && /^[a-z][a-z0-9-]*:.*## / {
  target = $1; sub(/:.*/, "", target); sub(/.*## /, "")
  show(target, $0)
}
FILENAME !~ /eval\.py$/ && /^## [A-Z_]+ \(/ {
  name = $2; default_value = $0
  sub(/^## [A-Z_]+ \(/, "", default_value); sub(/\).*/, "", default_value)
  sub(/^[^:]*: /, "")
  variables[++variable_count] = name; meanings[name] = "(" default_value ") " $0
}

# Of the papers: a decorator, the function, and its docstring, which may take several lines.
FILENAME ~ /eval\.py$/ && FNR == 1 {
  split(FILENAME, parts, "/"); paper = parts[2]; short = paper; sub(/_.*/, "", short)
  print "\n" paper
  show("data-" short, "find or download its data and verify them")
}
FILENAME ~ /eval\.py$/ && /^@paper\./ { declared = 1 }
FILENAME ~ /eval\.py$/ && declared && /^def / { name = $2; sub(/\(.*/, "", name) }
FILENAME ~ /eval\.py$/ && declared && name && /"""/ {
  text = $0; sub(/^ *"""/, "", text)
  while (text !~ /"""/ && (getline line) > 0) { sub(/^ */, " ", line); text = text line }
  sub(/""".*/, "", text); sub(/\.$/, "", text)
  show(short "-" name, text); declared = 0; name = ""
}

END {
  print "\nVariables (default)"
  for (i = 1; i <= variable_count; i++) show(variables[i], meanings[variables[i]])
}
