/* orphans N: makes N orphans, in bursts and now and then, most of them dead
 * before their parent and some after it; says what is left of them, and how
 * much memory process 1 has. vfork copies no page tables, so a million is quick.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void burst(int n, int late)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = i < late ? fork() : vfork();
		if (pid < 0)
			_exit(1);
		if (pid == 0) {
			if (i < late)
				usleep(1000);
			_exit(0);
		}
	}
	_exit(0);
}

/* zombies counts the dead in /proc, or is -1. */
static int zombies(void)
{
	int n = 0;
	DIR *proc = opendir("/proc");
	if (!proc)
		return -1;
	for (struct dirent *e; (e = readdir(proc));) {
		char path[300], line[512] = "", *state;
		snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
		FILE *f = isdigit(e->d_name[0]) ? fopen(path, "r") : NULL;
		if (!f)
			continue;
		if (fgets(line, sizeof line, f) && (state = strrchr(line, ')')) && state[2] == 'Z')
			n++;
		fclose(f);
	}
	closedir(proc);
	return n;
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0, left = -1;
	setvbuf(stdout, NULL, _IONBF, 0);
	for (int made = 0, size; made < n; made += size) {
		int status;
		size = 1 + rand() % 200;
		if (size > n - made)
			size = n - made;
		pid_t pid = fork();
		if (pid == 0)
			burst(size, rand() % 3);
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
			printf("no burst after %d\n", made);
			return 1;
		}
		putchar('.');
		if (rand() % 3 == 0)
			usleep(1000);
	}
	for (int i = 0; i < 500 && (left = zombies()) != 0; i++)
		usleep(10000);
	printf("left %d of %d\n", left, n);
	FILE *f = fopen("/proc/1/status", "r");
	for (char line[512]; f && fgets(line, sizeof line, f);)
		if (!strncmp(line, "VmRSS", 5))
			printf("memory %s", line);
	return 0;
}
