// Programs that try to read or change something behind a recorder's back: `evasions NAME [ARGUMENT]`.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define is(name) (!strcmp(what, name))
#define must(condition) do { if (!(condition)) { printf("line %d: %s\n", __LINE__, strerror(errno)); exit(1); } } while (0)
static const char *what;
static char self[64];

static void pause_ms(long ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000}; nanosleep(&t, 0); }
static const char *link_of(int fd) { sprintf(self, "/proc/self/fd/%d", fd); return self; }
static void copy(int to, const char *from) {
    char buffer[65536];
    int fd = open(from, O_RDONLY);
    must(fd >= 0);
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) must(write(to, buffer, n) == n);
    close(fd);
}
static pid_t waiting(void) {
    pid_t pid = fork();
    if (pid == 0) { pause_ms(5000); _exit(0); }
    return pid;
}
static int filter_on(int number, unsigned action, unsigned flags) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
static void trapped(int signal) { (void)signal; }
static void *in_own_folder(void *folder) {
    must(syscall(SYS_unshare, CLONE_FS) == 0 && chdir(folder) == 0);
    umask(0);
    must(open("in", O_RDONLY) >= 0 && open("made", O_CREAT | O_WRONLY, 0666) >= 0);
    return 0;
}
static void *reads(void *name) { must(open(name, O_RDONLY) >= 0); return 0; }
static volatile int stop;
static void *flips(void *text) { while (!stop) *(volatile char *)text ^= 'a' ^ 'b'; return 0; }
static void *flips_flags(void *flags) {
    while (!stop) *(volatile unsigned long long *)flags ^= O_PATH;
    return 0;
}
static struct sockaddr_un local(const char *path) {
    struct sockaddr_un a = {AF_UNIX};
    memcpy(a.sun_path, path[0] == '@' ? "" : path, 1);
    strcpy(a.sun_path + 1, path + 1);
    return a;
}
static socklen_t size_of(const char *path) { return offsetof(struct sockaddr_un, sun_path) + strlen(path); }

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    what = argv[1];
    char *argument = argc > 2 ? argv[2] : "";
    pid_t other = atoi(argument);
    char *run[] = {"true", "ran", 0}, *none[] = {0};

    if (is("under-a-filter")) { // As a container does: what follows runs under a plain filter.
        must(filter_on(SYS_syslog, SECCOMP_RET_ERRNO | EPERM, 0) == 0);
        execv(argv[2], argv + 2);
        return 1;
    }
    if (is("without-listeners")) { // As a kernel that knows no notification, or a container that forbids it.
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
            BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SECCOMP_FILTER_FLAG_NEW_LISTENER, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {6, code};
        must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
        execv(argv[2], argv + 2);
        return 1;
    }
    if (is("program-in-memory")) {
        int fd = memfd_create("hidden", MFD_CLOEXEC);
        copy(fd, "/bin/true");
        fexecve(fd, run, none);
        return 1;
    }
    if (is("program-by-descriptor")) {
        int fd = open("tool", O_PATH | O_CLOEXEC);
        syscall(SYS_execveat, fd, "", run, none, AT_EMPTY_PATH);
        return 1;
    }
    if (is("program-through-proc")) { execve(link_of(open("tool", O_PATH)), run, none); return 1; }
    if (is("start-that-fails")) { // The same program again, with more arguments than there may be.
        static char long_text[200000], *words[64];
        open("in", O_RDONLY);
        memset(long_text, 'x', sizeof long_text - 1);
        for (int i = 0; i < 63; i++) words[i] = i == 1 ? "ran" : long_text;
        must(execve("/proc/self/exe", words, none) < 0);
        open("in", O_RDONLY);
        return 0;
    }
    if (is("program-removed")) { int fd = open("tool", O_RDONLY); unlink("tool"); execve(link_of(fd), run, none); return 1; }
    if (is("nameless-file") || is("nameless-file-empty-path")) {
        int fd = open(".", O_TMPFILE | O_RDWR, 0600);
        must(fd >= 0 && write(fd, "quiet", 5) == 5);
        if (is("nameless-file")) must(linkat(AT_FDCWD, link_of(fd), AT_FDCWD, "made", AT_SYMLINK_FOLLOW) == 0);
        else must(linkat(fd, "", AT_FDCWD, "made", AT_EMPTY_PATH) == 0);
        return 0;
    }
    if (is("reopen")) { must(open(link_of(open("in", O_PATH)), O_RDONLY) >= 0); return 0; }
    if (is("reopen-for-writing")) {
        int fd = open(link_of(open("in", O_PATH)), O_WRONLY | O_TRUNC);
        must(write(fd, "new", 3) == 3);
        return 0;
    }
    if (is("restricted") || is("restricted-to-a-root")) { // `openat2`: beneath a folder, or as if it were the root.
        unsigned long long how[3] = {O_RDONLY, 0, is("restricted") ? 8 : 16};
        must(syscall(437, open("sub", O_PATH), is("restricted") ? "in" : "/in", how, 24) >= 0);
        must(syscall(437, open("sub", O_PATH), "../in2", how, 24) < 0);
        how[0] = O_CREAT | O_WRONLY; how[1] = 0600;
        must(syscall(437, open("sub", O_PATH), "made", how, 24) >= 0);
        return 0;
    }
    if (is("name-that-becomes-a-file")) { // The flags of `openat2` lie in memory, where a thread changes them.
        static volatile unsigned long long how[3];
        static char buffer[8];
        pthread_t thread;
        pthread_create(&thread, 0, flips_flags, (void *)how);
        int got = 0;
        for (int i = 0; i < 3000; i++) {
            int fd = syscall(437, AT_FDCWD, "in", how, 24);
            got += read(fd, buffer, 8) == 7;
            close(fd);
        }
        stop = 1;
        pthread_join(thread, 0);
        printf("%d", got);
        return 0;
    }
    if (is("question-that-becomes-a-file")) { // A file of the kernel's, whose path a thread changes.
        static char path[] = "/proc/self/status", other_path[64], buffer[8];
        pthread_t thread;
        realpath("in", other_path);
        symlink("/proc/self/status", "a");
        symlink("in", "b");
        static char name[] = "a";
        pthread_create(&thread, 0, flips, name);
        int got = 0;
        for (int i = 0; i < 3000; i++) {
            int fd = open(name, O_RDONLY);
            got += read(fd, buffer, 7) == 7 && !memcmp(buffer, "content", 7);
            close(fd);
        }
        stop = 1;
        pthread_join(thread, 0);
        printf("%d", got);
        return 0;
    }
    if (is("file-handle")) {
        struct { struct file_handle head; char bytes[128]; } handle = {{128}};
        int mount;
        name_to_handle_at(AT_FDCWD, "in", &handle.head, &mount, 0);
        must(open_by_handle_at(AT_FDCWD, &handle.head, O_RDONLY) < 0);
        return 0;
    }
    if (is("closes-everything")) {
        must(syscall(SYS_close_range, 0, ~0U, 0) == 0);
        return open("in", O_RDONLY) != 0;
    }
    if (is("vfork-child")) {
        if (vfork() == 0) { open("in", O_RDONLY); _exit(0); }
        return 0;
    }
    if (is("bare-clone")) {
        if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) { open("in", O_RDONLY); _exit(0); }
        wait(0);
        return 0;
    }
    if (is("sibling")) { // Its parent is our parent: nobody here has to wait for it.
        if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) { open("in", O_RDONLY); _exit(0); }
        pause_ms(100);
        return 0;
    }
    if (is("bare-exit")) { // The last words of `exit_group` are not said.
        if (fork() == 0) { pause_ms(100); open("in", O_RDONLY); _exit(0); }
        syscall(SYS_exit, 0);
    }
    if (is("daemon")) {
        if (fork() == 0) {
            setsid();
            if (fork() == 0) { prctl(PR_SET_PDEATHSIG, 0); signal(SIGHUP, SIG_IGN); pause_ms(60000); }
            _exit(0);
        }
        wait(0);
        return 0;
    }
    if (is("thread-in-own-folder")) {
        pthread_t thread;
        pthread_create(&thread, 0, in_own_folder, "sub");
        pthread_join(thread, 0);
        return 0;
    }
    if (is("other-rights-and-threads")) { // So that the recorder may not act for it, and a path can be raced.
        syscall(446, -1, 0);
        pthread_t thread;
        static char text[] = "a";
        pthread_create(&thread, 0, flips, text);
        must(open("in", O_RDONLY) >= 0);
        stop = 1;
        return pthread_join(thread, 0);
    }
    if (is("threads")) {
        pthread_t threads[8];
        static char names[8][8];
        for (int i = 0; i < 8; i++) { sprintf(names[i], "t%d", i); pthread_create(threads + i, 0, reads, names[i]); }
        for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
        return 0;
    }
    if (is("arguments-race")) {
        static char text[] = "a";
        char *words[] = {"echo", text, 0};
        pthread_t thread;
        pthread_create(&thread, 0, flips, text);
        for (int i = 0; i < 150; i++) {
            if (vfork() == 0) { execve("/bin/echo", words, none); _exit(1); }
            wait(0);
        }
        stop = 1;
        return pthread_join(thread, 0);
    }
    if (is("store-through-memory")) {
        int fd = open("shared", O_RDWR | O_CREAT, 0600);
        must(write(fd, "first", 5) == 5);
        char *at = mmap(0, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        must(at != MAP_FAILED);
        close(fd);
        memcpy(at, "secon", 5);
        pause_ms(60); // Until the clock of the file system has moved on: now its stamp vouches for it.
        must(open("shared", O_RDONLY) >= 0);
        memcpy(at, "third", 5);
        must(open("shared", O_RDONLY) >= 0);
        memcpy(at, "lastl", 5);
        return 0;
    }
    if (is("code-later")) {
        char *at = mmap(0, 4096, PROT_READ, MAP_PRIVATE, open("in", O_RDONLY), 0);
        return mprotect(at, 4096, PROT_READ | PROT_EXEC);
    }
    if (is("library")) return dlopen("./quiet.so", RTLD_NOW) == 0;
    if (is("copies-in-the-kernel")) {
        int from = open("in", O_RDONLY), to[3], ends[2];
        for (int i = 0; i < 3; i++) { char name[8]; sprintf(name, "out%d", i); to[i] = open(name, O_CREAT | O_WRONLY, 0600); }
        loff_t at = 0;
        must(sendfile(to[0], from, (off_t[]){0}, 7) == 7);
        must(copy_file_range(from, &at, to[1], 0, 7, 0) == 7);
        at = 0;
        must(pipe(ends) == 0 && splice(from, &at, ends[1], 0, 7, 0) == 7 && splice(ends[0], 0, to[2], 0, 7, 0) == 7);
        return 0;
    }
    if (is("ring")) { char parameters[120] = {0}; return !(syscall(425, 1, parameters) == -1 && errno == ENOSYS); }
    if (is("32-bit-call")) {
        int got;
        __asm__ volatile("int $0x80" : "=a"(got) : "a"(5), "b"(0), "c"(0) : "memory");
        return got != -ENOSYS;
    }
    if (is("x32-call")) return !(syscall(0x40000002, "in", 0) == -1 && errno == ENOSYS);

    // Filters of its own.
    if (is("own-filter")) { must(filter_on(SYS_getppid, SECCOMP_RET_ERRNO | 1, 0) == 0); return open("in", O_RDONLY) < 0; }
    if (is("own-listener")) {
        int listener = filter_on(SYS_openat, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        must(listener == -1 && errno == EBUSY);
        return open("in", O_RDONLY) < 0;
    }
    if (is("own-notifications")) { // The newer filter counts, and nobody listens to it: there is no such call.
        must(filter_on(SYS_openat, SECCOMP_RET_USER_NOTIF, 0) == 0);
        return !(open("in", O_RDONLY) < 0 && errno == ENOSYS);
    }
    if (is("own-errno")) { must(filter_on(SYS_openat, SECCOMP_RET_ERRNO | EPERM, 0) == 0); return open("in", O_RDONLY) >= 0; }
    if (is("own-trap")) {
        signal(SIGSYS, trapped);
        must(filter_on(SYS_openat, SECCOMP_RET_TRAP, 0) == 0);
        open("in", O_RDONLY);
        return 0;
    }
    if (is("own-kill")) {
        if (fork() == 0) { must(filter_on(SYS_openat, SECCOMP_RET_KILL_PROCESS, 0) == 0); open("in", O_RDONLY); _exit(0); }
        int status;
        wait(&status);
        return !WIFSIGNALED(status);
    }
    if (is("own-trace") || is("changed-by-a-tracer")) {
        // A tracer turns a harmless call of its child into an open, after the child's own filter has let it pass.
        pid_t pid = fork();
        if (pid == 0) {
            if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0) _exit(0); // Whoever is traced already cannot be traced again.
            raise(SIGSTOP);
            if (is("own-trace")) { filter_on(SYS_openat, SECCOMP_RET_TRACE, 0); open("in", O_RDONLY); }
            else { filter_on(SYS_getpriority, SECCOMP_RET_TRACE, 0); syscall(SYS_getpriority, AT_FDCWD, "in", O_RDONLY); }
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP);
        for (ptrace(PTRACE_CONT, pid, 0, 0); waitpid(pid, &status, 0) == pid && !WIFEXITED(status);) {
            if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
                struct user_regs_struct registers;
                ptrace(PTRACE_GETREGS, pid, 0, &registers);
                registers.orig_rax = SYS_openat;
                ptrace(PTRACE_SETREGS, pid, 0, &registers);
            }
            ptrace(PTRACE_CONT, pid, 0, 0);
        }
        return 0;
    }

    if (is("changed-at-entry")) { // The same without a filter: at the stop before the call.
        pid_t pid = fork();
        if (pid == 0) {
            if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0) _exit(0); // Whoever is traced already cannot be traced again.
            raise(SIGSTOP);
            syscall(SYS_getpriority, AT_FDCWD, "in", O_RDONLY);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        for (ptrace(PTRACE_SYSCALL, pid, 0, 0); waitpid(pid, &status, 0) == pid && !WIFEXITED(status);) {
            struct user_regs_struct registers;
            ptrace(PTRACE_GETREGS, pid, 0, &registers);
            if (registers.orig_rax == SYS_getpriority) {
                registers.orig_rax = SYS_openat;
                ptrace(PTRACE_SETREGS, pid, 0, &registers);
            }
            ptrace(PTRACE_SYSCALL, pid, 0, 0);
        }
        return 0;
    }

    // Other processes.
    if (is("memory-of-a-child")) {
        pid_t pid = waiting();
        char path[64];
        sprintf(path, "/proc/%d/mem", pid);
        must(open(path, O_RDWR) >= 0);
        return kill(pid, SIGKILL);
    }
    if (is("memory-by-relative-path")) {
        pid_t pid = waiting();
        char path[64];
        sprintf(path, "/proc/%d", pid);
        must(chdir(path) == 0 && open("mem", O_RDONLY) >= 0);
        return kill(pid, SIGKILL);
    }
    if (is("memory-of-a-bystander")) { char path[64]; sprintf(path, "/proc/%d/mem", other); open(path, O_RDWR); return 0; }
    if (is("secrets-of-a-bystander")) { char path[64]; sprintf(path, "/proc/%d/environ", other); open(path, O_RDONLY); return 0; }
    if (is("write-into-a-child")) {
        static char target[8], text[8] = "changed";
        pid_t pid = waiting();
        struct iovec from = {text, 8}, to = {target, 8};
        process_vm_writev(pid, &from, 1, &to, 1, 0);
        return kill(pid, SIGKILL);
    }
    if (is("trace-a-bystander")) { ptrace(PTRACE_SEIZE, other, 0, 0); return 0; }
    if (is("signal-to-a-bystander")) { kill(other, SIGWINCH); return 0; }
    if (is("descriptor-of-a-bystander")) { syscall(438, syscall(SYS_pidfd_open, other, 0), 0, 0); return 0; }
    if (is("kill-the-recorder-by-thread")) { // The recorder has threads with numbers of their own.
        return !(syscall(SYS_tgkill, getppid(), other, SIGKILL) == -1 && errno == EPERM);
    }
    if (is("kill-the-recorder-by-folder")) {
        char path[64];
        sprintf(path, "/proc/%d", getppid());
        return !(syscall(424, open(path, O_DIRECTORY), SIGKILL, 0, 0) == -1 && errno == EPERM);
    }

    // Sockets.
    if (is("abstract-service") || is("service")) {
        struct sockaddr_un to = local(argument);
        must(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, size_of(argument)) == 0);
        return 0;
    }
    if (is("taken-address")) { // It tries to bind first, so that the address passes for its own.
        struct sockaddr_un to = local(argument);
        must(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, size_of(argument)) < 0);
        must(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&to, size_of(argument)) == 0);
        return 0;
    }
    if (is("passed-descriptor")) {
        int ends[2], fd = open("in", O_RDONLY);
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        struct iovec byte = {"x", 1};
        union { struct cmsghdr head; char bytes[CMSG_SPACE(sizeof fd)]; } control = {0};
        struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        *CMSG_FIRSTHDR(&message) = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof fd);
        must(sendmsg(ends[0], &message, 0) == 1);
        return 0;
    }
    if (is("fast-open")) { // A connection without `connect`.
        unsigned char to[16] = {AF_INET, 0, 0, 9, 127, 0, 0, 1};
        sendto(socket(AF_INET, SOCK_STREAM, 0), "x", 1, MSG_FASTOPEN, (void *)to, sizeof to);
        return 0;
    }
    if (is("virtual-socket")) { socket(AF_VSOCK, SOCK_STREAM, 0); return 0; }
    if (is("sctp-socket")) { socket(AF_INET, SOCK_STREAM, 132); return 0; }
    if (is("packet-filter")) { socket(AF_NETLINK, SOCK_RAW, 12); return 0; }
    if (is("raw-socket")) { socket(AF_INET, SOCK_RAW, 1); return 0; }

    // The machine.
    if (is("snapshot")) { static char name[4096]; return !(ioctl(open(".", O_DIRECTORY), 0x50009401, name) == -1 && errno == EPERM); }
    if (is("terminal-input")) return !(ioctl(0, TIOCSTI, "x") == -1 && errno == EPERM);
    if (is("kernel-setting")) { open("/proc/sys/kernel/core_pattern", O_WRONLY); return 0; }
    if (is("unreadable-path")) { // Memory that the kernel cannot give to anybody else.
        return !(open((char *)8, O_RDONLY) == -1 && errno == EFAULT);
    }
    if (is("undumpable")) { must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0); open("in", O_RDONLY); return 0; }
    if (is("new-view-by-clone")) {
        if (syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0) == 0) { open("in", O_RDONLY); _exit(0); }
        wait(0);
        return 0;
    }
    return 3;
}
