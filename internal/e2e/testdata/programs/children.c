// What parents do wrong, each on demand. It prints one line when it is done.
//
//   children leave N default|caught|ignored|blocked   N dead children, then nothing
//   children hold N                                   N living children
//   children press                                    forks until it is refused, again and again
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
	perror(what);
	exit(1);
}

static void nothing(int signal) { (void)signal; }

// dead waits until a child is dead, and leaves it so.
static void dead(pid_t child) {
	siginfo_t info;
	if (waitid(P_PID, child, &info, WEXITED | WNOWAIT) != 0)
		fail("waitid");
}

static void leave(int n, const char *how) {
	struct sigaction act;
	sigset_t set;
	memset(&act, 0, sizeof act);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (strcmp(how, "caught") == 0) {
		act.sa_handler = nothing;
		if (sigaction(SIGCHLD, &act, NULL) != 0)
			fail("sigaction");
	} else if (strcmp(how, "blocked") == 0 && sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
		fail("sigprocmask");
	}
	for (int i = 0; i < n; i++) {
		pid_t child = fork();
		if (child < 0)
			fail("fork");
		if (child == 0) {
			prctl(PR_SET_NAME, "left-dead");
			_exit(i);
		}
		dead(child);
	}
	if (strcmp(how, "ignored") == 0) { // what has died before stays
		act.sa_handler = SIG_IGN;
		if (sigaction(SIGCHLD, &act, NULL) != 0)
			fail("sigaction");
	}
}

static void hold(int n) {
	for (int i = 0; i < n; i++) {
		pid_t child = fork();
		if (child < 0)
			fail("fork");
		while (child == 0)
			pause();
	}
}

static void press(void) {
	for (int held = 0, told = 0; held < 1000;) {
		pid_t child = fork();
		while (child == 0)
			pause();
		if (child > 0) {
			held++;
			continue;
		}
		if (errno != EAGAIN)
			fail("fork");
		if (!told++) {
			puts("ready");
			fflush(stdout);
		}
		usleep(50000);
	}
}

int main(int argc, char **argv) {
	if (argc == 4 && strcmp(argv[1], "leave") == 0)
		leave(atoi(argv[2]), argv[3]);
	else if (argc == 3 && strcmp(argv[1], "hold") == 0)
		hold(atoi(argv[2]));
	else if (argc == 2 && strcmp(argv[1], "press") == 0)
		press();
	else
		return 2;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
