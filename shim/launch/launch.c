/* sampan-shim is what containerd starts for every pod: it tells where the monitor is, and starts it when there is none.
 * It answers as well when there is nothing to clean up. What a monitor that died has left is cleaned up by the next one, which
 * is started for this too. All else it is asked (what a monitor cannot clean up, runc's features) goes to the stock shim beside it.
 * It is in C because it starts once per pod, and so small a program starts in a twentieth of the time of one in Go. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 60, IMPATIENCE = 2 }; /* seconds in which a monitor answers */

static void die(const char *what)
{
	fprintf(stderr, "sampan-shim: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void join(char *out, const char *dir, const char *name)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		die(name);
	}
}

/* named joins a directory with a file of the monitor's: its name, which an upgrade changes while an old monitor runs, and what
 * kind of file. */
static void named(char *out, const char *dir, const char *kind)
{
	char path[PATH_MAX], name[32] = "";
	ssize_t n = 0;
	int fd;

	join(path, dir, "monitor.name");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, name, sizeof name - 1);
		close(fd);
	}
	if (n <= 0)
		strcpy(name, "monitor");
	if (snprintf(out, PATH_MAX, "%s/%s%s", dir, name, kind) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		die(name);
	}
}

/* promised asks the monitor to stay for a container that is about to come, and waits so many seconds for the answer. */
static int promised(const char *dir, int seconds)
{
	struct timeval limit = {.tv_sec = seconds};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char path[PATH_MAX], byte;
	int fd, ok;

	named(path, dir, ".ctl");
	if (strlen(path) >= sizeof a.sun_path) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	errno = 0;
	ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && read(fd, &byte, 1) == 1;
	if (!ok && (errno == EAGAIN || errno == EINPROGRESS)) { /* it is there: a second one beside it would be worse than none */
		errno = ETIMEDOUT;
		die("the monitor does not answer");
	}
	close(fd);
	return ok;
}

/* start_monitor returns when the monitor's sockets are there, and what another one had left is not there any more. It lives on in
 * a session of its own. */
static void start_monitor(const char *self, const char *dir, const char *events)
{
	char bin[PATH_MAX], path[PATH_MAX], name[PATH_MAX], byte;
	int ready[2], log, null;
	pid_t pid;

	join(bin, self, "sampan-monitor");
	named(path, dir, ".log");
	named(name, dir, "");
	if (pipe(ready) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		if (chdir("/") < 0)
			die("/");
		umask(0022);
		log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
		null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (log < 0 || null < 0)
			die(path);
		if (ready[1] == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(ready[1], 3) < 0)
			die("dup");
		dup2(null, 0);
		dup2(log, 1);
		dup2(log, 2);
		for (int fd = 4; fd < 64; fd++)
			close(fd);
		execl(bin, "sampan-monitor", "-dir", dir, "-name", basename(name), "-events", events, "-ready-fd", "3", (char *)NULL);
		die(bin);
	}
	waitpid(pid, NULL, 0);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		fprintf(stderr, "sampan-shim: the monitor did not start; its log is %s\n", path);
		exit(1);
	}
	close(ready[0]);
}

/* ensure_monitor returns when there is a monitor that stays for a while yet. */
static void ensure_monitor(const char *self, const char *dir, const char *events, int seconds)
{
	char path[PATH_MAX];
	int lock;

	if (promised(dir, seconds))
		return;
	join(path, dir, "monitor.lock");
	lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		die(path);
	if (!promised(dir, seconds)) /* nobody else was quicker */
		start_monitor(self, dir, events);
	close(lock);
}

/* ensure_monitor_apart tries the same and comes back in any case. */
static void ensure_monitor_apart(const char *self, const char *dir, const char *events)
{
	pid_t pid = fork();
	int null;

	if (pid == 0) {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(null, 1); /* containerd waits until nobody has its pipes */
		dup2(null, 2);
		ensure_monitor(self, dir, events, IMPATIENCE);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* field writes a length-delimited field of a protobuf message. */
static size_t field(char *out, int number, const char *text)
{
	size_t n = strlen(text), i = 0;

	out[i++] = number << 3 | 2;
	if (n > 127)
		out[i++] = (n & 127) | 128, out[i++] = n >> 7;
	else
		out[i++] = n;
	memcpy(out + i, text, n);
	return i + n;
}

static const char *option(int argc, char **argv, const char *name)
{
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], name))
			return argv[i + 1];
	return NULL;
}

/* deleted answers what is asked after every pod, whose connection is closed then: to take away what a monitor that died has
 * left. If it has left nothing, neither runc's state of the container nor a mounted root, the answer is a DeleteResponse. */
static int deleted(const char *dir, const char *ns, const char *id, const char *bundle)
{
	char path[PATH_MAX], root[PATH_MAX], out[32];
	struct stat a, b;
	size_t len = 0;
	unsigned long long now = time(NULL), n;

	if (!ns || !id || !bundle || snprintf(path, sizeof path, "%s/runc/%s/%s", dir, ns, id) >= (int)sizeof path)
		return 0;
	join(root, bundle, "rootfs");
	if (stat(path, &a) == 0 || errno != ENOENT)
		return 0;
	if (stat(bundle, &a) == 0 ? stat(root, &b) == 0 && a.st_dev != b.st_dev : errno != ENOENT)
		return 0;
	out[len++] = 2 << 3; /* exit_status: killed */
	out[len++] = (137 & 127) | 128;
	out[len++] = 137 >> 7;
	out[len++] = 3 << 3 | 2; /* exited_at: a Timestamp */
	len++;
	out[len++] = 1 << 3;
	for (n = now; n > 127; n >>= 7)
		out[len++] = (n & 127) | 128;
	out[len++] = n;
	out[4] = len - 5;
	return fwrite(out, 1, len, stdout) == len && fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
	char self[PATH_MAX], dir[PATH_MAX], path[PATH_MAX + 64], socket_path[PATH_MAX], out[2 * PATH_MAX], *events;
	const char *address, *ns, *id, *bundle;
	ssize_t n;
	size_t len = 0;

	n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n < 0)
		die("/proc/self/exe");
	self[n] = 0;
	dirname(self);
	address = option(argc, argv, "-address");
	if (address) {
		if (strlen(address) >= sizeof dir) {
			errno = ENAMETOOLONG;
			die("-address");
		}
		strcpy(dir, address);
		dirname(dir);
		events = getenv("TTRPC_ADDRESS");
		if (!events || !*events) {
			snprintf(path, sizeof path, "%s.ttrpc", address);
			events = strdup(path);
		}
	}
	if (address && !strcmp(argv[argc - 1], "delete")) {
		ns = option(argc, argv, "-namespace");
		id = option(argc, argv, "-id");
		bundle = option(argc, argv, "-bundle");
		if (deleted(dir, ns, id, bundle))
			return 0;
		/* Containerd gives all that a dead monitor has left five seconds at once. One monitor has done it sooner than as many
		 * runcs, and goes on with it when we are killed. */
		ensure_monitor_apart(self, dir, events);
		if (deleted(dir, ns, id, bundle))
			return 0;
	}
	if (argc < 2 || strcmp(argv[argc - 1], "start") || !address) {
		join(path, self, "containerd-shim-runc-v2");
		argv[0] = path;
		execv(path, argv);
		die(path);
	}
	ensure_monitor(self, dir, events, PATIENCE);
	/* containerd.runtime.bootstrap.v1.BootstrapResult: version 3, address, protocol */
	out[len++] = 1 << 3;
	out[len++] = 3;
	named(socket_path, dir, ".sock");
	snprintf(path, sizeof path, "unix://%s", socket_path);
	len += field(out + len, 2, path);
	len += field(out + len, 3, "ttrpc");
	if (fwrite(out, 1, len, stdout) != len || fflush(stdout) != 0)
		die("stdout");
	return 0;
}
