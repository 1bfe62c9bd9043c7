// One small program for each call that the recorder asks about: `probes NAME` makes that call, and no other that
// would show the same. Arguments are such that nothing happens to the machine, whoever runs this.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define is(name) (!strcmp(what, name))
#define call syscall
static const char *what;
static const int here = AT_FDCWD;
static const long bad = -1;

static int file(int flags) { return call(SYS_openat, here, "file", flags); }
static void pause_ms(long ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000}; call(SYS_nanosleep, &t, 0); }
static struct sockaddr_in local(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}
// A child that waits without making a call that is asked about.
static pid_t child(void) {
    pid_t pid = fork();
    if (pid == 0) { pause_ms(300); _exit(0); }
    return pid;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    what = argv[1];
    long id = argc > 2 ? atol(argv[2]) : -1;
    if (is("nothing")) return 0;
    // For the test itself, untraced.
    if (is("make-shm")) { printf("%d", shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600)); return 0; }
    if (is("make-msg")) { printf("%d", msgget(IPC_PRIVATE, IPC_CREAT | 0600)); return 0; }
    if (is("drop-shm")) return shmctl(id, IPC_RMID, 0);
    if (is("drop-msg")) return msgctl(id, IPC_RMID, 0);

    // Files as memory.
    if (is("mmap")) { int fd = file(O_RDONLY); mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0); return 0; }
    if (is("mprotect") || is("pkey_mprotect")) {
        void *at = mmap(0, 4096, PROT_READ, MAP_PRIVATE, file(O_RDONLY), 0);
        if (is("mprotect")) call(SYS_mprotect, at, 4096, PROT_READ | PROT_EXEC);
        else call(SYS_pkey_mprotect, at, 4096, PROT_READ | PROT_EXEC, -1);
        return 0;
    }
    if (is("memfd_create")) { call(SYS_memfd_create, "nameless", 0); return 0; }
    if (is("memfd_secret")) { call(447, 0); return 0; }

    // Opening and making.
    if (is("open")) { call(SYS_open, "file", O_RDONLY); return 0; }
    if (is("openat")) { call(SYS_openat, here, "file", O_RDONLY); return 0; }
    if (is("openat2")) { unsigned long long how[3] = {O_RDONLY}; call(437, here, "file", how, 24); return 0; }
    if (is("creat")) { call(SYS_creat, "made", 0600); return 0; }
    if (is("mknod")) { call(SYS_mknod, "made", S_IFREG | 0600, 0); return 0; }
    if (is("mknodat")) { call(SYS_mknodat, here, "made", S_IFREG | 0600, 0); return 0; }
    if (is("mkdir")) { call(SYS_mkdir, "made", 0700); return 0; }
    if (is("mkdirat")) { call(SYS_mkdirat, here, "made", 0700); return 0; }
    if (is("truncate")) { call(SYS_truncate, "file", 3); return 0; }
    if (is("umask")) {
        // The recorder learns the mask that was before.
        close(call(SYS_openat, here, "before", O_CREAT | O_WRONLY, 0666));
        call(SYS_umask, 0);
        struct stat s;
        fstat(call(SYS_openat, here, "made", O_CREAT | O_WRONLY, 0666), &s);
        return (s.st_mode & 0777) != 0666;
    }

    // Names.
    if (is("rename")) { call(SYS_rename, "file", "made"); return 0; }
    if (is("renameat")) { call(SYS_renameat, here, "file", here, "made"); return 0; }
    if (is("renameat2")) { call(SYS_renameat2, here, "file", here, "made", 0); return 0; }
    if (is("unlink")) { call(SYS_unlink, "file"); return 0; }
    if (is("unlinkat")) { call(SYS_unlinkat, here, "file", 0); return 0; }
    if (is("rmdir")) { call(SYS_rmdir, "sub"); return 0; }
    if (is("link")) { call(SYS_link, "file", "made"); return 0; }
    if (is("linkat")) { call(SYS_linkat, here, "file", here, "made", 0); return 0; }
    if (is("symlink")) { call(SYS_symlink, "file", "made"); return 0; }
    if (is("symlinkat")) { call(SYS_symlinkat, "file", here, "made"); return 0; }

    // Attributes.
    if (is("chmod")) { call(SYS_chmod, "file", 0640); return 0; }
    if (is("fchmod")) { call(SYS_fchmod, file(O_RDONLY), 0640); return 0; }
    if (is("fchmodat")) { call(SYS_fchmodat, here, "file", 0640); return 0; }
    if (is("fchmodat2")) { call(452, here, "file", 0640, 0); return 0; }
    if (is("chown")) { call(SYS_chown, "file", bad, bad); return 0; }
    if (is("lchown")) { call(SYS_lchown, "file", bad, bad); return 0; }
    if (is("fchown")) { call(SYS_fchown, file(O_RDONLY), bad, bad); return 0; }
    if (is("fchownat")) { call(SYS_fchownat, here, "file", bad, bad, 0); return 0; }
    if (is("utime")) { call(SYS_utime, "file", 0); return 0; }
    if (is("utimes")) { call(SYS_utimes, "file", 0); return 0; }
    if (is("futimesat")) { call(SYS_futimesat, here, "file", 0); return 0; }
    if (is("utimensat")) { call(SYS_utimensat, here, "file", 0, 0); return 0; }
    if (is("setxattr")) { call(SYS_setxattr, "file", "user.x", "1", 1, 0); return 0; }
    if (is("lsetxattr")) { call(SYS_lsetxattr, "file", "user.x", "1", 1, 0); return 0; }
    if (is("fsetxattr")) { call(SYS_fsetxattr, file(O_RDONLY), "user.x", "1", 1, 0); return 0; }
    if (is("removexattr")) { call(SYS_removexattr, "file", "user.x"); return 0; }
    if (is("lremovexattr")) { call(SYS_lremovexattr, "file", "user.x"); return 0; }
    if (is("fremovexattr")) { call(SYS_fremovexattr, file(O_RDONLY), "user.x"); return 0; }
    if (is("setxattrat")) { long args[2] = {(long)"1", 1}; call(463, here, "file", 0, "user.x", args, 16); return 0; }
    if (is("removexattrat")) { call(466, here, "file", 0, "user.x"); return 0; }
    if (is("file_setattr")) { long args[4] = {0}; call(469, here, "file", args, 24, 0); return 0; }
    if (is("ioctl")) {
        int fd = file(O_RDONLY), flags = 0;
        ioctl(fd, FS_IOC_GETFLAGS, &flags);
        call(SYS_ioctl, fd, FS_IOC_SETFLAGS, &flags);
        return 0;
    }

    // Programs and processes.
    char *again[] = {argv[0], "nothing", 0}, *none[] = {0};
    if (is("execve") || is("execveat")) file(O_RDONLY); // By this it is known what runs now.
    if (is("execve")) { call(SYS_execve, argv[0], again, none); return 1; }
    if (is("execveat")) { call(SYS_execveat, here, argv[0], again, none, 0); return 1; }
    if (is("exit_group")) {
        if (fork() == 0) { pause_ms(150); file(O_RDONLY); }
        call(SYS_exit_group, 0);
    }
    if (is("clone")) {
        long pid = call(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) _exit(0);
        return 0;
    }
    if (is("clone3")) {
        unsigned long long args[8] = {0};
        args[4] = SIGCHLD;
        long pid = call(435, args, 64);
        if (pid == 0) _exit(0);
        return !(pid == -1 && errno == ENOSYS);
    }
    if (is("ptrace")) { call(SYS_ptrace, 0x4206, child(), 0, 0); return 0; }
    if (is("process_vm_readv") || is("process_vm_writev")) {
        static char buffer[8];
        struct iovec piece = {buffer, 8};
        long number = is("process_vm_readv") ? SYS_process_vm_readv : SYS_process_vm_writev;
        call(number, child(), &piece, 1, &piece, 1, 0);
        return 0;
    }
    if (is("pidfd_getfd")) { call(438, call(SYS_pidfd_open, child(), 0), 0, 0); return 0; }
    pid_t recorder = getppid();
    siginfo_t info = {.si_code = SI_QUEUE};
    if (is("kill")) { call(SYS_kill, recorder, 0); return 0; }
    if (is("tkill")) { call(SYS_tkill, recorder, 0); return 0; }
    if (is("tgkill")) { call(SYS_tgkill, recorder, recorder, 0); return 0; }
    if (is("rt_sigqueueinfo")) { call(SYS_rt_sigqueueinfo, recorder, 0, &info); return 0; }
    if (is("rt_tgsigqueueinfo")) { call(SYS_rt_tgsigqueueinfo, recorder, recorder, 0, &info); return 0; }
    if (is("pidfd_open")) { call(SYS_pidfd_open, recorder, 0); return 0; }
    if (is("prlimit64")) { // The limits that it has already.
        unsigned long long limits[2];
        call(SYS_prlimit64, recorder, 7, 0, limits);
        call(SYS_prlimit64, recorder, 7, limits, 0);
        return 0;
    }
    if (is("pidfd_send_signal")) {
        char path[32];
        sprintf(path, "/proc/%d", recorder);
        call(424, call(SYS_openat, here, path, O_DIRECTORY), 0, 0, 0);
        return 0;
    }
    if (is("prctl")) { call(SYS_prctl, PR_SET_MM, bad, 0, 0, 0); return 0; }
    if (is("personality")) { call(SYS_personality, 0x0400000); return 0; }

    // Sockets and what processes share.
    struct sockaddr_in nine = local(9), any = local(0);
    struct iovec byte = {"x", 1};
    struct mmsghdr message = {.msg_hdr = {&nine, sizeof nine, &byte, 1}};
    if (is("socket")) { call(SYS_socket, AF_VSOCK, SOCK_STREAM, 0); return 0; }
    if (is("connect")) { call(SYS_connect, socket(AF_INET, SOCK_DGRAM, 0), &nine, sizeof nine); return 0; }
    if (is("sendto")) { call(SYS_sendto, socket(AF_INET, SOCK_DGRAM, 0), "x", 1, 0, &nine, sizeof nine); return 0; }
    if (is("sendmsg")) { call(SYS_sendmsg, socket(AF_INET, SOCK_DGRAM, 0), &message.msg_hdr, 0); return 0; }
    if (is("sendmmsg")) { call(SYS_sendmmsg, socket(AF_INET, SOCK_DGRAM, 0), &message, 1, 0); return 0; }
    if (is("bind")) { call(SYS_bind, socket(AF_INET, SOCK_STREAM, 0), &any, sizeof any); return 0; }
    if (is("listen")) { call(SYS_listen, socket(AF_INET, SOCK_STREAM, 0), 1); return 0; }
    if (is("shmget")) { shmctl(call(SYS_shmget, 0x43530001, 4096, IPC_CREAT | 0600), IPC_RMID, 0); return 0; }
    if (is("msgget")) { msgctl(call(SYS_msgget, 0x43530002, IPC_CREAT | 0600), IPC_RMID, 0); return 0; }
    if (is("shmat")) { call(SYS_shmat, id, 0, SHM_RDONLY); return 0; }
    struct { long kind; char text[8]; } letter = {1, "x"};
    if (is("msgsnd")) { call(SYS_msgsnd, id, &letter, 1, IPC_NOWAIT); return 0; }
    if (is("msgrcv")) { call(SYS_msgrcv, id, &letter, 8, 0, IPC_NOWAIT); return 0; }
    if (is("mq_open")) { call(SYS_mq_open, "countersign-test", O_RDWR | O_CREAT, 0600, 0); call(SYS_mq_unlink, "countersign-test"); return 0; }

    // What paths and rights mean.
    struct utsname uts;
    uname(&uts);
    if (is("unshare")) { call(SYS_unshare, CLONE_NEWUTS); return 0; }
    if (is("setns")) { call(SYS_setns, bad, 0); return 0; }
    if (is("chroot")) { call(SYS_chroot, "absent"); return 0; }
    if (is("pivot_root")) { call(SYS_pivot_root, "absent", "absent"); return 0; }
    if (is("mount")) { call(SYS_mount, "none", "sub", "no-such-type", 0, 0); return 0; }
    if (is("umount2")) { call(SYS_umount2, "sub", 0); return 0; }
    if (is("move_mount")) { call(429, here, "absent", here, "sub", 0); return 0; }
    if (is("open_tree")) { call(428, here, "sub", 0); return 0; }
    if (is("open_tree_attr")) { call(467, here, "absent", 0, 0, 0); return 0; }
    if (is("fsopen")) { call(430, "no-such-type", 0); return 0; }
    if (is("fsmount")) { call(432, bad, 0, 0); return 0; }
    if (is("fspick")) { call(433, here, "absent", 0); return 0; }
    if (is("mount_setattr")) { long args[4] = {0}; call(442, here, "absent", 0, args, 32); return 0; }
    if (is("sethostname")) { call(SYS_sethostname, uts.nodename, strlen(uts.nodename)); return 0; }
    if (is("setdomainname")) { call(SYS_setdomainname, uts.domainname, strlen(uts.domainname)); return 0; }
    long nobody = 65533;
    int rights = 1;
    if (is("setuid")) call(SYS_setuid, nobody);
    else if (is("setgid")) call(SYS_setgid, nobody);
    else if (is("setreuid")) call(SYS_setreuid, nobody, nobody);
    else if (is("setregid")) call(SYS_setregid, nobody, nobody);
    else if (is("setresuid")) call(SYS_setresuid, nobody, nobody, nobody);
    else if (is("setresgid")) call(SYS_setresgid, nobody, nobody, nobody);
    else if (is("setfsuid")) call(SYS_setfsuid, nobody);
    else if (is("setfsgid")) call(SYS_setfsgid, nobody);
    else if (is("setgroups")) call(SYS_setgroups, 0, 0);
    else if (is("landlock_restrict_self")) call(446, bad, 0);
    else if (is("capset")) {
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct caps[2];
        call(SYS_capget, &head, caps);
        call(SYS_capset, &head, caps);
    } else rights = 0;
    if (rights) { file(O_RDONLY); return 0; }

    // What does not exist, or is forbidden.
    if (is("io_uring_setup")) { call(425, 0, 0); return 0; }
    if (is("io_uring_enter")) { call(426, bad, 0, 0, 0, 0); return 0; }
    if (is("io_uring_register")) { call(427, bad, 0, 0, 0); return 0; }
    if (is("userfaultfd")) { call(SYS_userfaultfd, bad); return 0; }
    if (is("perf_event_open")) { call(SYS_perf_event_open, 0, 0, 0, bad, 0); return 0; }
    if (is("fanotify_init")) { call(SYS_fanotify_init, bad, 0); return 0; }
    if (is("add_key")) { call(SYS_add_key, 0, 0, 0, 0, 0); return 0; }
    if (is("request_key")) { call(SYS_request_key, 0, 0, 0, 0); return 0; }
    if (is("keyctl")) { call(SYS_keyctl, 99999, 0, 0, 0, 0); return 0; }
    if (is("open_by_handle_at")) { call(SYS_open_by_handle_at, bad, 0, 0); return 0; }
    if (is("bpf")) { call(SYS_bpf, 99999, 0, 0); return 0; }
    if (is("init_module")) { call(SYS_init_module, 0, 0, 0); return 0; }
    if (is("finit_module")) { call(SYS_finit_module, bad, 0, 0); return 0; }
    if (is("delete_module")) { call(SYS_delete_module, "no-such-module", O_NONBLOCK); return 0; }
    if (is("kexec_load")) { call(SYS_kexec_load, 0, 0, 0, 0xFFFF); return 0; }
    if (is("kexec_file_load")) { call(SYS_kexec_file_load, bad, bad, 0, 0, 0xFFFF); return 0; }
    if (is("acct")) { call(SYS_acct, "absent"); return 0; }
    if (is("swapon")) { call(SYS_swapon, "absent", 0); return 0; }
    if (is("swapoff")) { call(SYS_swapoff, "absent"); return 0; }
    if (is("reboot")) { call(SYS_reboot, 0, 0, 0, 0); return 0; }
    if (is("quotactl")) { call(SYS_quotactl, bad, 0, 0, 0); return 0; }
    if (is("quotactl_fd")) { call(443, bad, bad, 0, 0); return 0; }
    if (is("settimeofday")) { call(SYS_settimeofday, 0, 0); return 0; }
    if (is("clock_settime")) { call(SYS_clock_settime, 999, 0); return 0; }
    if (is("clock_adjtime")) { call(SYS_clock_adjtime, 999, 0); return 0; }
    if (is("adjtimex")) { call(SYS_adjtimex, 0); return 0; }
    if (is("vhangup")) { setsid(); call(SYS_vhangup); return 0; }
#ifdef __x86_64__
    if (is("iopl")) { call(SYS_iopl, 0); return 0; }
    if (is("ioperm")) { call(SYS_ioperm, 0, 0, 0); return 0; }
    if (is("foreign")) { call(0x40000000 | SYS_getpid); return 0; }
#endif
    return 3;
}
