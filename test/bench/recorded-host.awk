# Answers a script that airgap sends: the facts, or each step with the time that it took.
BEGIN {
	while ((getline line <(dir "/done")) > 0) so[line] = 1
	while ((getline line <times) > 0) { split(line, part, " "); takes[part[1]] = part[2] }
	getline extra <(dir "/extra")
}
/^# Prints a host's facts/ { facts = 1 }
/^airgap_mode=(check|apply)$/ { mode = substr($0, 13) }
/^[[:space:]]*stat -c %s / { asked_size = 1 }
/^run '?[a-z]/ { id = $2; gsub(/'/, "", id); steps[++count] = id }
END {
	if (facts) exit system("sed \"s/@NOW@/$(date +%s)/\" '" dir "/facts'")
	if (mode == "" && asked_size) print 0
	if (mode == "") exit !asked_size
	for (i = 1; i <= count; i++) {
		id = steps[i]
		printf "\n@@airgap begin %s\n", id
		state = (id in so) ? "already" : (mode == "check") ? "would-change" : "done"
		if (state == "would-change") printf "\n@@airgap show %s\n", id
		if (state == "done") {
			printf "\n@@airgap applying %s\n", id
			fflush()
			if (takes[id] + extra > 0) system("sleep " (takes[id] + extra))
			print id >>(dir "/done")
			close(dir "/done")
		}
		printf "\n@@airgap end %s %s\n", id, state
		fflush()
	}
}
