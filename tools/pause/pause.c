/* pause holds the namespaces of a pod: it reaps what is orphaned into a shared pid namespace, and leaves on SIGTERM or SIGINT.
 *
 *     pause                                     as the first process of a container, whose runtime has made the namespaces
 *     pause EMPTY NETNS HOSTNAME [NAME=VALUE]   as the first process of namespaces that sampan-monitor has made
 *
 * In the second form it enters the network namespace NETNS and sets the host's name and the sysctls, all unless empty; shuts
 * itself into an empty file system, which it mounts on the directory EMPTY; becomes nobody; writes a dot to file 3, or what went
 * wrong; and leaves as well when the other end of file 3 is closed, which it is when the monitor dies.
 *
 * An EMPTY of "" says that the pod has users of its own, those of the user namespace that NETNS belongs to. Then the monitor has
 * made no namespaces: they have to belong to these users. The process enters the user namespace as its root, makes the others
 * there, and a child of the monitor goes on in its place, whose number it writes to file 3, with a newline, before it ends.
 *
 * It lets itself make the handful of system calls that this takes and no others. A runtime would have to build a filter of
 * some four hundred for every sandbox, which takes it longer than all the rest. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/nsfs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "which AUDIT_ARCH is this?"
#endif

#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* confine fails only where the kernel has no seccomp, and then there is nothing to be had. */
static void confine(void) {
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(rt_sigtimedwait),
		ALLOW(wait4),
		ALLOW(rt_sigreturn),
		ALLOW(restart_syscall),
		ALLOW(recvfrom),
		ALLOW(exit_group),
		ALLOW(exit),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

enum { LIFELINE = 3, NOBODY = 65535 };

static void die(const char *what, const char *name) {
	dprintf(LIFELINE, "%s%s: %s", what, name, strerror(errno));
	exit(1);
}

static void set_sysctl(char *setting) {
	char path[PATH_MAX], *value = strchr(setting, '=');
	int fd, dotted = !strchr(setting, '/'); /* with slashes in it, dots belong to names */

	if (!value) {
		errno = EINVAL;
		die("sysctl ", setting);
	}
	*value++ = 0;
	for (char *c = setting; dotted && *c; c++)
		if (*c == '.')
			*c = '/';
	snprintf(path, sizeof path, "/proc/sys/%s", setting);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die("", path);
	close(fd);
}

/* own_users goes on as a process of the user namespace that netns belongs to. A process that makes a pid namespace is not in it,
 * its next child is: so it leaves a brother behind, who waits until the monitor has been told of him. */
static void own_users(int netns) {
	int users = ioctl(netns, NS_GET_USERNS), told[2];
	long pid;
	char c;

	if (users < 0 || setns(users, CLONE_NEWUSER) < 0 || setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		die("enter the user namespace", "");
	close(users);
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID) < 0 || pipe(told) < 0)
		die("make namespaces", "");
	pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		die("clone", "");
	if (pid > 0) {
		dprintf(LIFELINE, "%ld\n", pid);
		_exit(0);
	}
	close(told[1]);
	while (read(told[0], &c, 1) < 0 && errno == EINTR)
		;
	close(told[0]);
}

static void enter(char **argv) {
	char *empty = argv[1], *netns = argv[2], *hostname = argv[3], *end;
	int fd, n = 3;

	while (argv[n + 1])
		n++;
	end = argv[n] + strlen(argv[n]);
	prctl(PR_SET_NAME, "pause");
	if (*netns) {
		fd = open(netns, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
			die("", netns);
		if (!*empty)
			own_users(fd);
		close(fd);
	}
	if (!*empty)
		empty = "/proc"; /* its root may not go where the host's root alone may */
	if (*hostname && sethostname(hostname, strlen(hostname)) < 0)
		die("hostname ", hostname);
	for (char **s = argv + 4; *s; s++)
		set_sysctl(*s);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", empty, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0555,size=4k") < 0 ||
	    chdir(empty) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		die("root on ", empty);
	memset(argv[1], 0, end - argv[1]); /* whoever sees the process in a shared pid namespace has no use for its arguments */
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
		die("become nobody", "");
}

static int cut(void) {
	char c;
	return recv(LIFELINE, &c, 1, MSG_DONTWAIT) == 0;
}

/* tie has SIGIO sent when the other end of the lifeline is closed, and leaves if it already is. */
static void tie(void) {
	if (fcntl(LIFELINE, F_SETOWN, getpid()) < 0 || fcntl(LIFELINE, F_SETFL, O_ASYNC) < 0)
		die("lifeline", "");
	if (write(LIFELINE, ".", 1) != 1 || cut())
		exit(0);
}

int main(int argc, char **argv) {
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGIO);
	/* Blocked before waiting, so that a signal that comes early is kept and not lost. */
	if (sigprocmask(SIG_BLOCK, &set, 0) < 0)
		return 1;
	if (argc > 3) {
		enter(argv);
		tie();
	}
	confine();
	for (;;) {
		int sig = sigwaitinfo(&set, 0);
		if (sig == SIGINT || sig == SIGTERM || (sig == SIGIO && argc > 3 && cut()))
			return 0;
		if (sig < 0 && errno != EINTR)
			return 2;
		while (waitpid(-1, 0, WNOHANG) > 0)
			;
	}
}
