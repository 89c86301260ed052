/* Holds a pod's namespaces open: collects orphans, and ends when it is asked to. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void collect(int number) {
  (void)number;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

static void leave(int number) {
  (void)number;
  _exit(0);
}

/* As upstream's: `-v` says which it is. kubeadm's upgrade check runs it so and waits for a good end. */
int main(int count, char **words) {
  if (count > 1 && strcmp(words[1], "-v") == 0) {
    puts("pause.c of the rig");
    return 0;
  }
  struct sigaction orphans = {.sa_handler = collect, .sa_flags = SA_NOCLDSTOP};
  struct sigaction end = {.sa_handler = leave};
  if (sigaction(SIGCHLD, &orphans, NULL) || sigaction(SIGTERM, &end, NULL) || sigaction(SIGINT, &end, NULL)) return 1;
  for (;;) pause();
}
