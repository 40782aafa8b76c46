/* A packetdrill in miniature: loads the library as packetdrill does and plays scripts by hand, on two threads. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

/* The table, in the order that packetdrill has it. */
struct table {
  void *userdata;
  void (*free)(void *);
  int (*socket)(void *, int, int, int);
  int (*bind)(void *, int, const struct sockaddr *, socklen_t);
  int (*listen)(void *, int, int);
  int (*accept)(void *, int, struct sockaddr *, socklen_t *);
  int (*connect)(void *, int, const struct sockaddr *, socklen_t);
  ssize_t (*read)(void *, int, void *, size_t);
  ssize_t (*readv)(void *, int, const struct iovec *, int);
  ssize_t (*recv)(void *, int, void *, size_t, int);
  ssize_t (*recvfrom)(void *, int, void *, size_t, int, struct sockaddr *, socklen_t *);
  ssize_t (*recvmsg)(void *, int, struct msghdr *, int);
  ssize_t (*write)(void *, int, const void *, size_t);
  ssize_t (*writev)(void *, int, const struct iovec *, int);
  ssize_t (*send)(void *, int, const void *, size_t, int);
  ssize_t (*sendto)(void *, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
  ssize_t (*sendmsg)(void *, int, const struct msghdr *, int);
  int (*fcntl)(void *, int, int, ...);
  int (*ioctl)(void *, int, unsigned long, ...);
  int (*close)(void *, int);
  int (*shutdown)(void *, int, int);
  int (*getsockopt)(void *, int, int, int, void *, socklen_t *);
  int (*setsockopt)(void *, int, int, int, const void *, socklen_t);
  int (*poll)(void *, struct pollfd *, nfds_t, int);
  int (*netdev_send)(void *, const void *, size_t);
  int (*netdev_receive)(void *, void *, size_t *, long long *);
  int (*usleep)(void *, useconds_t);
  int (*gettimeofday)(void *, struct timeval *, struct timezone *);
  int (*epoll_create)(void *, int);
  int (*epoll_ctl)(void *, int, int, int, struct epoll_event *);
  int (*epoll_wait)(void *, int, struct epoll_event *, int, int);
  int (*pipe)(void *, int[2]);
  int (*splice)(void *, int, loff_t *, int, loff_t *, size_t, unsigned int);
};

static void (*init)(const char *, struct table *);
static struct table t;
#define U t.userdata

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) {                                                           \
      fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, errno);   \
      exit(1);                                                                    \
    }                                                                             \
  } while (0)
#define EQUAL(got, want)                                                          \
  do {                                                                            \
    long long got_ = (got), want_ = (want);                                       \
    if (got_ != want_) {                                                          \
      fprintf(stderr, "line %d: %s is %lld, not %lld (errno %d)\n", __LINE__, #got, got_, want_, errno); \
      exit(1);                                                                    \
    }                                                                             \
  } while (0)
#define FAILS(call, error)                                                        \
  do {                                                                            \
    errno = 0;                                                                    \
    EQUAL((call), -1);                                                            \
    EQUAL(errno, (error));                                                        \
  } while (0)

static const char *LOCAL = "192.168.77.5", *REMOTE = "192.0.2.1";
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct segment {
  uint16_t from, to;
  uint32_t seq, ack;
  int flags, window, len, options;
  long long time;
};

static uint32_t sum(const void *data, size_t len, uint32_t start) {
  const uint8_t *bytes = data;
  for (size_t i = 0; i < len; i++) start += i % 2 ? bytes[i] : bytes[i] << 8;
  return start;
}

static uint16_t fold(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(~sum & 0xffff);
}

static void put16(uint8_t *at, uint32_t value) { at[0] = value >> 8, at[1] = value; }
static void put32(uint8_t *at, uint32_t value) { put16(at, value >> 16), put16(at + 2, value); }
static uint32_t get16(const uint8_t *at) { return at[0] << 8 | at[1]; }
static uint32_t get32(const uint8_t *at) { return get16(at) << 16 | get16(at + 2); }

static long long now(void) {
  struct timeval tv;
  EQUAL(t.gettimeofday(U, &tv, NULL), 0);
  return tv.tv_sec * 1000000LL + tv.tv_usec;
}

/* A segment from the remote arrives. */
static void inject(struct segment s, const char *options, int options_len) {
  uint8_t packet[2000] = {0};
  int head = 40 + options_len, len = head + s.len;
  packet[0] = 0x45;
  put16(packet + 2, len);
  packet[8] = 255, packet[9] = 6;
  inet_pton(AF_INET, REMOTE, packet + 12);
  inet_pton(AF_INET, LOCAL, packet + 16);
  uint16_t check = fold(sum(packet, 20, 0));
  memcpy(packet + 10, &check, 2);
  uint8_t *tcp = packet + 20;
  put16(tcp, s.from), put16(tcp + 2, s.to), put32(tcp + 4, s.seq), put32(tcp + 8, s.ack);
  tcp[12] = (20 + options_len) / 4 << 4, tcp[13] = s.flags;
  put16(tcp + 14, s.window);
  memcpy(tcp + 20, options, options_len);
  for (int i = 0; i < s.len; i++) packet[head + i] = 'a' + i % 26;
  check = fold(sum(tcp, len - 20, sum(packet + 12, 8, 6 + len - 20)));
  memcpy(tcp + 16, &check, 2);
  EQUAL(t.netdev_send(U, packet, len), 0);
}

/* The next segment that leaves, with good checksums. */
static struct segment leaves(void) {
  uint8_t packet[65536];
  size_t count = sizeof packet;
  struct segment s;
  EQUAL(t.netdev_receive(U, packet, &count, &s.time), 0);
  EQUAL(count, get16(packet + 2));
  EQUAL(packet[9], 6);
  EQUAL(fold(sum(packet, 20, 0)), 0);
  EQUAL(fold(sum(packet + 20, count - 20, sum(packet + 12, 8, 6 + count - 20))), 0);
  uint8_t *tcp = packet + 20;
  s.from = get16(tcp), s.to = get16(tcp + 2), s.seq = get32(tcp + 4), s.ack = get32(tcp + 8);
  s.flags = tcp[13], s.window = get16(tcp + 14);
  s.options = (tcp[12] >> 4) * 4 - 20;
  s.len = count - 40 - s.options;
  return s;
}

static struct sockaddr_in at(const char *address, int port) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, address, &name.sin_addr);
  return name;
}

/* A call on the second thread, and when it ended. */
struct call {
  pthread_t thread;
  _Atomic int tid;
  int kind, fd;
  long result;
  int error;
  long long end;
};
enum { ACCEPT, READ, WRITE, POLL, EPOLL };

static void *run(void *argument) {
  struct call *call = argument;
  static char buf[1 << 20];
  struct sockaddr_in peer;
  socklen_t len = sizeof peer;
  struct pollfd fds = {.fd = call->fd, .events = POLLIN};
  struct epoll_event event;
  call->tid = syscall(SYS_gettid);
  switch (call->kind) {
  case ACCEPT: call->result = t.accept(U, call->fd, (void *)&peer, &len); break;
  case READ: call->result = t.read(U, call->fd, buf, 1000); break;
  case WRITE: call->result = t.write(U, call->fd, buf, sizeof buf); break;
  case POLL: call->result = t.poll(U, &fds, 1, 30); break;
  case EPOLL: call->result = t.epoll_wait(U, call->fd, &event, 1, -1); break;
  }
  call->error = errno;
  call->end = now();
  return NULL;
}

/* Starts it, and waits until it sleeps: as packetdrill does, by the state of the thread. */
static void begin(struct call *call, int kind, int fd) {
  char path[64], state = 0;
  *call = (struct call){.kind = kind, .fd = fd, .end = -1};
  CHECK(pthread_create(&call->thread, NULL, run, call) == 0);
  while (!call->tid) sched_yield();
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", call->tid);
  while (state != 'S') {
    sched_yield();
    FILE *file = fopen(path, "r");
    CHECK(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
    fclose(file);
  }
}

static void end(struct call *call) { CHECK(pthread_join(call->thread, NULL) == 0); }

static const char MSS[] = "\x02\x04\x05\xb4\x01\x01\x04\x02\x01\x03\x03\x07";

/* A server: the remote connects, both send, the remote closes. */
static void server(void) {
  init("", &t);
  int one = 1, fd = t.socket(U, AF_INET, SOCK_STREAM, IPPROTO_TCP);
  CHECK(fd >= 0);
  struct sockaddr_in name = at(LOCAL, 8080);
  EQUAL(t.setsockopt(U, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
  EQUAL(t.bind(U, fd, (void *)&name, sizeof name), 0);
  FAILS(t.bind(U, fd, (void *)&name, sizeof name), EINVAL);
  EQUAL(t.listen(U, fd, 1), 0);
  FAILS(t.listen(U, 99, 1), EBADF);
  FAILS(t.read(U, fd, &one, 4), ENOTCONN);

  struct call call;
  begin(&call, ACCEPT, fd);
  struct segment in = {.from = 40000, .to = 8080, .seq = 0, .flags = SYN, .window = 32792};
  inject(in, MSS, 12);
  struct segment out = leaves();
  EQUAL(out.flags, SYN | ACK);
  EQUAL(out.ack, 1);
  EQUAL(t.usleep(U, 10000), 0);
  long long before = now();
  in.seq = 1, in.ack = out.seq + 1, in.flags = ACK, in.window = 257;
  inject(in, "", 0);
  EQUAL(t.usleep(U, 500000), 0);
  end(&call);
  CHECK(call.result >= 0);
  CHECK(call.end - before <= 3);
  int conn = call.result;

  /* A read waits until bytes come, and ends at that very time. */
  begin(&call, READ, conn);
  EQUAL(t.usleep(U, 5000), 0);
  before = now();
  in.flags = ACK | PSH, in.len = 500;
  inject(in, "", 0);
  EQUAL(t.usleep(U, 200000), 0);
  end(&call);
  EQUAL(call.result, 500);
  CHECK(call.end - before <= 3);
  out = leaves();
  EQUAL(out.flags, ACK);
  EQUAL(out.ack, 501);
  in.seq += 500, in.len = 0;

  /* Bytes leave at once; not acknowledged, they leave again. */
  before = now();
  struct iovec parts[2] = {{"hello, ", 7}, {"world", 5}};
  EQUAL(t.writev(U, conn, parts, 2), 12);
  out = leaves();
  EQUAL(out.len, 12);
  CHECK(out.time - before <= 3);
  uint32_t first = out.seq;
  int queued = 0;
  EQUAL(t.ioctl(U, conn, 0x5411 /* SIOCOUTQ */, &queued), 0);
  EQUAL(queued, 12);
  struct segment again = leaves();
  EQUAL(again.seq, first);
  EQUAL(again.len, 12);
  CHECK(again.time > out.time);
  in.ack = first + 12;
  in.flags = ACK;
  inject(in, "", 0);
  EQUAL(t.ioctl(U, conn, 0x5411, &queued), 0);
  EQUAL(queued, 0);

  struct tcp_info info;
  socklen_t len = sizeof info;
  EQUAL(t.getsockopt(U, conn, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
  EQUAL(info.tcpi_state, 1);
  EQUAL(info.tcpi_snd_mss, 1460);
  EQUAL(info.tcpi_unacked, 0);
  len = 4;
  int error = 7;
  EQUAL(t.getsockopt(U, conn, SOL_SOCKET, SO_ERROR, &error, &len), 0);
  EQUAL(error, 0);
  FAILS(t.setsockopt(U, conn, SOL_SOCKET, 9999, &one, 4), ENOPROTOOPT);

  /* Nothing there: poll waits its 30 ms, no more. */
  EQUAL(t.fcntl(U, conn, F_SETFL, O_NONBLOCK), 0);
  EQUAL(t.fcntl(U, conn, F_GETFL), O_RDWR | O_NONBLOCK);
  char buf[100];
  FAILS(t.recv(U, conn, buf, sizeof buf, 0), EAGAIN);
  begin(&call, POLL, conn);
  before = now();
  EQUAL(t.usleep(U, 1000000), 0);
  end(&call);
  EQUAL(call.result, 0);
  CHECK(call.end >= before + 29000 && call.end <= before + 30003);

  /* epoll waits for the end of the stream. */
  int epoll = t.epoll_create(U, 1);
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = 42};
  EQUAL(t.epoll_ctl(U, epoll, EPOLL_CTL_ADD, conn, &event), 0);
  FAILS(t.epoll_ctl(U, epoll, EPOLL_CTL_ADD, conn, &event), EEXIST);
  begin(&call, EPOLL, epoll);
  before = now();
  in.flags = FIN | ACK;
  inject(in, "", 0);
  EQUAL(t.usleep(U, 1000000), 0);
  end(&call);
  EQUAL(call.result, 1);
  CHECK(call.end - before <= 3);
  EQUAL(t.read(U, conn, buf, sizeof buf), 0);
  EQUAL(t.close(U, conn), 0);
  FAILS(t.close(U, conn), EBADF);
  do out = leaves();
  while (!(out.flags & FIN));
  EQUAL(out.ack, 502);
  EQUAL(t.close(U, fd), 0);
  EQUAL(t.close(U, epoll), 0);
  t.free(U);
}

/* A client: the first retransmission of its SYN leaves one second after it, to the microsecond. */
static void client(void) {
  init("seed=3 net.ipv4.tcp_timestamps=0, net.ipv4.tcp_sack=0;", &t);
  int fd = t.socket(U, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in name = at(REMOTE, 80);
  FAILS(t.connect(U, fd, (void *)&name, sizeof name), EINPROGRESS);
  FAILS(t.connect(U, fd, (void *)&name, sizeof name), EALREADY);
  struct segment syn = leaves(), again = leaves(), third = leaves();
  EQUAL(syn.flags, SYN);
  EQUAL(syn.options, 8); /* MSS, and the scale that the environment left: no timestamps, no SACK. */
  EQUAL(again.time - syn.time, 1000000);
  EQUAL(third.time - syn.time, 3000000);
  EQUAL(again.seq, syn.seq);
  struct segment in = {.from = 80, .to = syn.from, .seq = 9, .ack = syn.seq + 1, .flags = SYN | ACK, .window = 1000};
  LOCAL = "192.168.0.1";
  inject(in, "", 0);
  EQUAL(leaves().flags, ACK);
  EQUAL(t.connect(U, fd, (void *)&name, sizeof name), 0);
  FAILS(t.connect(U, fd, (void *)&name, sizeof name), EISCONN);
  /* A megabyte, written by a call that waits, against a window of 1000 bytes that opens. */
  EQUAL(t.fcntl(U, fd, F_SETFL, 0), 0);
  struct call call;
  begin(&call, WRITE, fd);
  in.flags = ACK, in.seq = 10, in.window = 65535;
  long got = 0;
  while (got < 1 << 20) {
    struct segment out = leaves();
    if (out.seq + out.len - (syn.seq + 1) > got) got = out.seq + out.len - (syn.seq + 1);
    in.ack = syn.seq + 1 + got;
    inject(in, "", 0);
  }
  end(&call);
  EQUAL(call.result, 1 << 20);
  /* The remote resets: told once. */
  in.flags = RST | ACK;
  inject(in, "", 0);
  char buf[10];
  FAILS(t.read(U, fd, buf, sizeof buf), ECONNRESET);
  EQUAL(t.read(U, fd, buf, sizeof buf), 0);
  FAILS(t.write(U, fd, buf, sizeof buf), EPIPE);
  /* Nothing leaves any more: two refusals, then a packet of no bytes. */
  size_t count = sizeof buf;
  long long time;
  FAILS(t.netdev_receive(U, buf, &count, &time), ETIMEDOUT);
  FAILS(t.netdev_receive(U, buf, &count, &time), ETIMEDOUT);
  EQUAL(t.netdev_receive(U, buf, &count, &time), 0);
  EQUAL(count, 0);
  t.free(U);
}

/* What packetdrill is to be told of is told on standard error, and passed over. */
static void settings(void) {
  setenv("SOCKEYE_SYSCTL", "net.ipv4.tcp_window_scaling=0 net.ipv4.tcp_no_such_thing=1", 1);
  init("net.ipv4.tcp_timestamps=0 net.ipv4.tcp_sack=0 net.ipv4.tcp_syn_retries=1", &t);
  int fd = t.socket(U, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in name = at(REMOTE, 80);
  FAILS(t.connect(U, fd, (void *)&name, sizeof name), EINPROGRESS);
  EQUAL(leaves().options, 4);
  EQUAL(leaves().flags, SYN);
  size_t count = sizeof name;
  long long time;
  FAILS(t.netdev_receive(U, &name, &count, &time), ETIMEDOUT);
  int error = 0;
  socklen_t len = sizeof error;
  EQUAL(t.getsockopt(U, fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
  EQUAL(error, ETIMEDOUT);
  t.free(U);
  unsetenv("SOCKEYE_SYSCTL");
}

static void odd_arguments(void) {
  init(NULL, &t);
  int fd = t.socket(U, AF_INET, SOCK_STREAM, 0), fds[2];
  FAILS(t.bind(U, fd, NULL, 16), EFAULT);
  FAILS(t.bind(U, fd, (void *)&fd, 1000), EINVAL);
  FAILS(t.getsockopt(U, fd, IPPROTO_TCP, TCP_INFO, &fd, NULL), EFAULT);
  FAILS(t.poll(U, NULL, 3, 0), EFAULT);
  FAILS(t.pipe(U, NULL), EFAULT);
  FAILS(t.netdev_send(U, "x", 1), EINVAL);
  FAILS(t.socket(U, AF_UNIX, SOCK_STREAM, 0), EAFNOSUPPORT);
  EQUAL(t.pipe(U, fds), 0);
  EQUAL(t.write(U, fds[1], "abcdef", 6), 6);
  char one[2], two[3];
  struct iovec parts[2] = {{one, 2}, {two, 3}};
  EQUAL(t.readv(U, fds[0], parts, 2), 5);
  EQUAL(memcmp(two, "cde", 3), 0);
  FAILS(t.readv(U, fds[0], parts, -1), EINVAL);
  FAILS(t.splice(U, fds[0], NULL, fds[0], NULL, 1, 0), EBADF);
  long long start = now();
  EQUAL(t.usleep(U, 250000), 0);
  long long time = now();
  CHECK(time >= start + 250000 && time <= start + 250002);
  t.free(U);
}

int main(int argc, char **argv) {
  void *library = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  init = (void (*)(const char *, struct table *))dlsym(library, "packetdrill_interface_init");
  CHECK(init);
  CHECK(sizeof(struct table) == 33 * sizeof(void *));
  server();
  client();
  settings();
  odd_arguments();
  return 0;
}
