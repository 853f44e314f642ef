/* process.c: clocks, processor time, memory, child processes, free ports, descriptor limits. */
#include "bench.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void
sleep_ms(unsigned ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

static double
usage_s(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double
cpu_self_s(void)
{
    return usage_s(RUSAGE_SELF);
}

double
cpu_children_s(void)
{
    return usage_s(RUSAGE_CHILDREN);
}

/* Parent and processor time of a process, its reaped children's included; see proc(5), stat. */
static bool
read_stat(pid_t pid, pid_t *ret_parent, double *ret_s)
{
    char path[48], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0)
        return false;
    text[size] = '\0';
    const char *after_name = strrchr(text, ')');
    int parent;
    unsigned long user, system;
    long user_children, system_children;
    if (after_name == NULL
        || sscanf(after_name + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld",
                  &parent, &user, &system, &user_children, &system_children)
               != 5)
        return false;
    *ret_parent = parent;
    *ret_s = (double)(user + system + (unsigned long)(user_children + system_children))
             / (double)sysconf(_SC_CLK_TCK);
    return true;
}

/* All of /proc is read, descendants found by parents: servers have few processes, and this is called
 * twice a slice. PostgreSQL's backends are direct children of the one we know. */
double
cpu_tree_s(pid_t pid)
{
    pid_t parent;
    double total = 0, own;
    if (pid <= 0 || !read_stat(pid, &parent, &total))
        return 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        pid_t other = (pid_t)atoi(entry->d_name);
        if (other > 0 && other != pid && read_stat(other, &parent, &own) && parent == pid)
            total += own;
    }
    if (dir != NULL)
        closedir(dir);
    return total;
}

double
memory_mb(pid_t pid, const char *field)
{
    char path[48], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    double kib = 0;
    size_t length = strlen(field);
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, field, length) == 0 && line[length] == ':')
            kib = strtod(line + length + 1, NULL);
    if (file != NULL)
        fclose(file);
    return kib * 1024 / 1e6;
}

pid_t
process_start(const char *const *arguments, const char *log_file)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* no server outlives a benchmark that was interrupted */
        int fd = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0644);
        if (fd >= 0) {
            dup2(fd, STDOUT_FILENO);
            dup2(fd, STDERR_FILENO);
        }
        execv(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    if (pid < 0)
        failure("cannot start %s: %s", arguments[0], strerror(errno));
    return pid;
}

bool
process_runs(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

bool
process_stop(pid_t pid, int signal)
{
    if (pid <= 0)
        return true;
    kill(pid, signal);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0)
           || (WIFSIGNALED(status) && WTERMSIG(status) == signal);
}

bool
process_run(const char *const *arguments, char *output, size_t size)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(ends[1], STDOUT_FILENO);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    close(ends[1]);
    size_t used = 0;
    for (;;) {
        char spill[512];
        bool full = used + 1 >= size;
        ssize_t got = full ? read(ends[0], spill, sizeof spill)
                           : read(ends[0], output + used, size - used - 1);
        if (got <= 0)
            break;
        used += full ? 0 : (size_t)got;
    }
    output[used] = '\0';
    close(ends[0]);
    int status = 1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Free now; somebody else could take it before we use it, on a machine that does more than this. */
unsigned
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned port = 0;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0
        && getsockname(fd, (struct sockaddr *)&address, &length) == 0)
        port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

/* As far as the system lets us: a privileged process may go beyond its hard limit, up to nr_open. */
uint64_t
descriptors_raise(void)
{
    static const rlim_t wishes[] = {65536, 40000};
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        struct rlimit wish = {wishes[i], wishes[i] > limit.rlim_max ? wishes[i] : limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &wish) == 0)
            return wishes[i];
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

void
text_number(char *to, uint64_t number)
{
    char digits[20];
    unsigned count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count > 0)
        *to++ = digits[--count];
    *to = '\0';
}
