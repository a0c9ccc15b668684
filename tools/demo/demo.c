/* demo answers every HTTP request with the name of its pod, its own address and the client's: enough to see a Deployment, a Service
 * and a load balancer at work on a machine without a registry. It listens on port 8080, or on PORT.
 *
 * One process for each connection, none of which lives longer than PATIENCE seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE = 10 };

static void leave(int sig)
{
	(void)sig;
	_exit(0); /* the first process of a container gets no signal that it does not ask for */
}

static int listen_on(int port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1, zero = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
		if (bind(fd, (struct sockaddr *)&six, sizeof six) == 0 && listen(fd, 128) == 0)
			return fd;
		close(fd);
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&four, sizeof four) < 0 || listen(fd, 128) < 0) {
		perror("demo: listen");
		exit(1);
	}
	return fd;
}

/* name writes an address; one of IPv4 as such, however it came. */
static void name(const struct sockaddr_storage *a, char *to, size_t size)
{
	if (a->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, to, size);
	else
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, to, size);
	if (strncmp(to, "::ffff:", 7) == 0 && strchr(to, '.'))
		memmove(to, to + 7, strlen(to + 7) + 1);
}

static void answer(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof addr;
	char request[4096] = "", method[16] = "", path[256] = "", host[256] = "", own[64] = "", client[64] = "", body[1024], head[256];
	const char *greeting = getenv("GREETING");
	size_t got = 0;
	ssize_t n;
	int size, headsize;

	while (got < sizeof request - 1 && !strstr(request, "\r\n\r\n") && (n = read(fd, request + got, sizeof request - 1 - got)) > 0)
		request[got += n] = 0;
	if (sscanf(request, "%15s %255s", method, path) < 2)
		return;
	gethostname(host, sizeof host - 1);
	if (getsockname(fd, (struct sockaddr *)&addr, &len) == 0)
		name(&addr, own, sizeof own);
	len = sizeof addr;
	if (getpeername(fd, (struct sockaddr *)&addr, &len) == 0)
		name(&addr, client, sizeof client);
	size = snprintf(body, sizeof body, "%s from %s at %s\n%s %s, asked by %s\n", greeting ? greeting : "Hello", host, own, method, path, client);
	if (size >= (int)sizeof body)
		size = sizeof body - 1;
	headsize = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", size);
	if (write(fd, head, headsize) == headsize && strcmp(method, "HEAD") != 0)
		while (size > 0 && (n = write(fd, body, size)) > 0) {
			memmove(body, body + n, size - n);
			size -= n;
		}
	shutdown(fd, SHUT_WR);
	while (read(fd, request, sizeof request) > 0)
		; /* until the client has it all */
}

int main(void)
{
	const char *port = getenv("PORT");
	int fd, conn;

	signal(SIGTERM, leave);
	signal(SIGINT, leave);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	fd = listen_on(port && atoi(port) > 0 ? atoi(port) : 8080);
	printf("demo: listening\n");
	fflush(stdout);
	for (;;) {
		if ((conn = accept(fd, NULL, NULL)) < 0) {
			usleep(10000);
			continue;
		}
		if (fork() == 0) {
			close(fd);
			signal(SIGALRM, leave);
			alarm(PATIENCE);
			answer(conn);
			_exit(0);
		}
		close(conn);
	}
}
