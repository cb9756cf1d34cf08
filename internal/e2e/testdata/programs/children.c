// What parents do wrong, each on demand. It prints one line when it is done.
//
//   children leave N default|caught|ignored|blocked   N dead children, then nothing
//   children hold N                                   N living children
//   children press                                    forks until it is refused, again and again
//   children orphan N                                 N dead children, and ends: they are its reaper's
//   children serve                                    serves requests and a timer, and says what came too early or failed
//   children own                                      lets its children lie dead for a while, and says whose status was lost
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
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

static void orphan(int n) {
	while (n-- > 0) {
		pid_t child = fork();
		if (child < 0)
			fail("fork");
		if (child == 0) {
			prctl(PR_SET_NAME, "orphan");
			_exit(0);
		}
		dead(child);
	}
	exit(0);
}

static void ready(void) {
	puts("ready");
	fflush(stdout);
}

static void wrong(const char *what, long got) {
	printf("wrong: %s: %ld, %s\n", what, got, strerror(errno));
	fflush(stdout);
}

// rest sleeps, and says so if that was cut short.
static void rest(long milliseconds) {
	struct timespec want = {milliseconds / 1000, milliseconds % 1000 * 1000000}, from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	if (nanosleep(&want, NULL) != 0)
		wrong("nanosleep", -1);
	clock_gettime(CLOCK_MONOTONIC, &to);
	long slept = (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
	if (slept < milliseconds * 1000)
		wrong("microseconds slept", slept);
}

// ask asks and asks, one request after the other.
static void *ask(void *to) {
	int server = *(int *)to;
	for (uint64_t n = 0;; n++) {
		uint64_t reply = 0;
		ssize_t put = write(server, &n, sizeof n), got = read(server, &reply, sizeof reply);
		if (put != sizeof n || got != sizeof reply || reply != n)
			wrong("asked", got);
		rest(2);
	}
	return NULL;
}

static int ending(void) { // a descriptor that is readable when the program was told to end
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		fail("sigprocmask");
	return signalfd(-1, &set, SFD_NONBLOCK);
}

static void serve(void) {
	struct itimerspec every = {{0, 20000000}, {0, 20000000}};
	struct epoll_event events[3];
	pthread_t client;
	int pair[2], poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0), end = ending();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || timerfd_settime(timer, 0, &every, NULL) != 0)
		fail("socketpair, timerfd_settime");
	int from[] = {pair[0], timer, end};
	for (int i = 0; i < 3; i++) {
		events[i].events = EPOLLIN;
		events[i].data.fd = from[i];
		if (epoll_ctl(poll, EPOLL_CTL_ADD, from[i], &events[i]) != 0)
			fail("epoll_ctl");
	}
	if (pthread_create(&client, NULL, ask, &pair[1]) != 0)
		fail("pthread_create");
	ready();
	for (long served = 0;;) {
		int n = epoll_wait(poll, events, 3, -1);
		if (n < 1)
			wrong("epoll_wait", n);
		for (int i = 0; i < n; i++) {
			uint64_t request;
			int fd = events[i].data.fd;
			if (fd == end) {
				printf("served %ld\n", served);
				exit(0);
			}
			ssize_t got = read(fd, &request, sizeof request);
			if (got != sizeof request)
				wrong("read", got);
			if (fd == pair[0] && write(fd, &request, sizeof request) != sizeof request)
				wrong("write", -1);
			served += fd == pair[0];
		}
	}
}

// own waits for each child long after its end, as a program does that polls now and then.
static void own(void) {
	enum { kept = 16 };
	pid_t children[kept] = {0};
	struct signalfd_siginfo told;
	int end = ending();
	ready();
	for (long n = 0;; n++) {
		pid_t *slot = &children[n % kept];
		int status = -1;
		if (*slot != 0) {
			pid_t got = waitpid(*slot, &status, WNOHANG);
			if (got != *slot || !WIFEXITED(status) || WEXITSTATUS(status) != (n - kept) % 100 + 1)
				wrong("waitpid", got);
		}
		if (read(end, &told, sizeof told) > 0) {
			printf("waited %ld\n", n);
			exit(0);
		}
		*slot = fork();
		if (*slot < 0)
			fail("fork");
		if (*slot == 0)
			_exit(n % 100 + 1);
		rest(100);
	}
}

int main(int argc, char **argv) {
	if (argc == 4 && strcmp(argv[1], "leave") == 0)
		leave(atoi(argv[2]), argv[3]);
	else if (argc == 3 && strcmp(argv[1], "hold") == 0)
		hold(atoi(argv[2]));
	else if (argc == 2 && strcmp(argv[1], "press") == 0)
		press();
	else if (argc == 3 && strcmp(argv[1], "orphan") == 0)
		orphan(atoi(argv[2]));
	else if (argc == 2 && strcmp(argv[1], "serve") == 0)
		serve();
	else if (argc == 2 && strcmp(argv[1], "own") == 0)
		own();
	else
		return 2;
	ready();
	for (;;)
		pause();
}
