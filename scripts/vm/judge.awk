# Judges what the guest of a release told: the list of tests first, then the console.
#
# Fails unless each package of the list ended with 0, each of its tests passed
# and none was skipped. What a failed package told is shown.
FNR == NR {
	packages[++count] = $1
	tests[$1] = $0
	next
}
/^boot / { booted = $2 }
$1 == "package" && NF == 2 { now = $2; next }
$1 == "exit" && NF == 4 && $3 == now { code[now] = $2; now = ""; next }
now != "" { told[now] = told[now] $0 "\n" }
now == "" { rest = rest $0 "\n" }
now != "" && $1 == "---" && $2 == "PASS:" && /^---/ { passed[now, $3] = 1 }
now != "" && $1 == "---" && $2 == "SKIP:" { skipped[now] = skipped[now] " " $3 }

function wrong(package, why) {
	bad[package] = bad[package] "FAIL " package ": " why "\n"
}

END {
	if (count == 0 || release == "" || index(booted, release ".") != 1) {
		printf "the guest did not boot Linux %s (%s)\n%s", release, booted, rest
		exit 1
	}
	for (i = 1; i <= count; i++) {
		package = packages[i]
		if (!(package in code))
			wrong(package, "ended with nothing: it was not told")
		else if (code[package] != "0")
			wrong(package, "ended with " code[package])
		if (package in skipped)
			wrong(package, "skipped" skipped[package])
		n = split(tests[package], named)
		for (k = 3; k <= n; k++)
			if (!((package, named[k]) in passed))
				wrong(package, named[k] " was not told as passed")
		if (package in bad) {
			failed = 1
			printf "%s%s", told[package], bad[package]
		} else {
			total += n - 2
			printf "ok %s: %d tests\n", package, n - 2
		}
	}
	if (failed) {
		printf "outside the tests, the console has:\n%s", rest
		exit 1
	}
	printf "%d tests passed on Linux %s\n", total, booted
}
