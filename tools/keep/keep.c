/* sampan-keep starts a program and starts it again when it dies: it is what `sampan up --detach` leaves beside the server.
 * It is C because it does nothing but wait: a program in Go would take ten megabytes for that.
 *
 *   sampan-keep STATE READY LOG DIR PROGRAM ARGUMENT...
 *
 * STATE  is locked while it runs and says "KEEPER CHILD RESTARTS\n"; CHILD is 0 while there is none
 * READY  holds the number of a program that has come up; one that ends before any has is not started again
 * LOG    is opened for each start, since the program turns it over
 * DIR    is where the program is started; nobody holds it otherwise
 *
 * The first start gets descriptor 3, where it reports to whoever waits for it; the following ones find how often the program
 * has died in SAMPAN_RESTARTS, and how it died last in SAMPAN_ENDED. SIGTERM is passed on and ends both. If this program dies,
 * the other one goes on. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The wait before a restart in milliseconds, doubled each time up to the last; a program that has run for CALM is new. */
enum { FIRST = 250, LAST = 30000, CALM = 30000 };

static void die(const char *what)
{
	fprintf(stderr, "sampan-keep: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void tell(int state, pid_t child, int restarts)
{
	char line[64];
	int n = snprintf(line, sizeof line, "%d %d %d\n", getpid(), child, restarts);

	/* Whoever reads meanwhile finds a whole line, with spaces behind it. */
	memset(line + n, ' ', sizeof line - n);
	if (pwrite(state, line, sizeof line, 0) < 0)
		return; /* a full disk: what is there is old, and those who read it look further */
}

/* ready reports whether the program has said that it is up. */
static int ready(const char *file, pid_t child)
{
	char line[32] = "";
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 && atoi(line) == child;
}

static pid_t start(const char *log, const char *dir, char **argv, int restarts, const char *ended, const sigset_t *mask)
{
	pid_t pid = fork();
	char times[16];
	int fd;

	if (pid != 0)
		return pid;
	sigprocmask(SIG_SETMASK, mask, NULL);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0) {
		dup2(fd, 1);
		dup2(fd, 2);
	}
	if (chdir(dir) < 0 && chdir("/") < 0)
		die("/");
	if (restarts > 0) {
		snprintf(times, sizeof times, "%d", restarts);
		unsetenv("SAMPAN_DETACHED");
		setenv("SAMPAN_RESTARTS", times, 1);
		setenv("SAMPAN_ENDED", ended, 1);
	}
	execv(argv[0], argv);
	die(argv[0]);
	return -1;
}

static int wait_for(const sigset_t *set, long long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	int sig;

	do
		sig = ms < 0 ? sigwaitinfo(set, NULL) : sigtimedwait(set, NULL, &t);
	while (sig < 0 && errno == EINTR);
	return sig;
}

int main(int argc, char **argv)
{
	const char *file, *readyfile, *log, *dir;
	char ended[64];
	int state, status, sig, restarts = 0, failures = 0, up = 0, over = 0;
	long long began, wait;
	sigset_t set, before;
	pid_t child;

	if (argc < 6) {
		fprintf(stderr, "sampan-keep: STATE READY LOG DIR PROGRAM ARGUMENT...; 'sampan up --detach' starts it\n");
		return 2;
	}
	file = argv[1], readyfile = argv[2], log = argv[3], dir = argv[4], argv += 5;
	state = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (state == 3) /* which is not given, then */
		state = fcntl(state, F_DUPFD_CLOEXEC, 4);
	if (state < 0)
		die(file);
	for (int tries = 0; flock(state, LOCK_EX | LOCK_NB) < 0; tries++) {
		if (errno != EWOULDBLOCK || tries == 100)
			die(file);
		usleep(10000); /* somebody looks whether it is locked */
	}
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, &before);
	srandom(getpid() ^ time(NULL));
	tell(state, 0, 0);
	for (;;) {
		began = now();
		child = start(log, dir, argv, restarts, ended, &before);
		if (child < 0 && restarts == 0)
			die("fork");
		if (restarts == 0) {
			close(3); /* the program's end alone is to be heard there */
			if (chdir("/") < 0)
				die("/");
		}
		tell(state, child < 0 ? 0 : child, restarts);
		status = 0;
		while (child > 0 && waitpid(child, &status, WNOHANG) != child) {
			if (wait_for(&set, -1) != SIGCHLD) {
				over = 1;
				kill(child, SIGTERM);
			}
		}
		up |= child > 0 && ready(readyfile, child);
		tell(state, 0, restarts);
		if (WIFSIGNALED(status))
			snprintf(ended, sizeof ended, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
		else if (child < 0)
			snprintf(ended, sizeof ended, "not started");
		else
			snprintf(ended, sizeof ended, "ended with status %d", WEXITSTATUS(status));
		if (over || !up || (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0))
			return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		if (now() - began >= CALM)
			failures = 0;
		wait = failures < 16 ? (long long)FIRST << failures : LAST;
		wait = wait > LAST ? LAST : wait;
		wait += random() % (wait / 2);
		failures++;
		restarts++;
		for (long long until = now() + wait; (wait = until - now()) > 0;) {
			sig = wait_for(&set, wait);
			if (sig == SIGTERM || sig == SIGINT)
				return 0;
		}
	}
}
