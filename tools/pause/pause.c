/* pause is the first process of every pod's sandbox: it holds the namespaces, reaps what is orphaned into a shared pid
 * namespace, and leaves on SIGTERM or SIGINT. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	/* Blocked before waiting, so that a signal that comes early is kept and not lost. */
	if (sigprocmask(SIG_BLOCK, &set, 0) < 0)
		return 1;
	for (;;) {
		int sig = sigwaitinfo(&set, 0);
		if (sig == SIGINT || sig == SIGTERM)
			return 0;
		if (sig < 0 && errno != EINTR)
			return 2;
		while (waitpid(-1, 0, WNOHANG) > 0)
			;
	}
}
