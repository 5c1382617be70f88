// A library to preload that makes the writes of a program fail, and notes what it wrote.
//
//   FAULT_KIND  full      from the FAULT_AT-th call on the disk is full, what fits is written
//               readonly  from that call on nothing may be written
//               once      that call alone fails
//               short     from that call on every write takes half of what it is given
//               none      nothing fails
//   FAULT_LOG   a file that gets one line for the first call that failed, each file that was
//               renamed to its final name, and each lock that was taken or given back
//
// Calls are those that open, fill, sync, close and rename files and make folders. Files that are
// only read, standard output and standard error are none of its business.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kDescriptors = 4096 };

static atomic_long calls;
static atomic_bool failed;
static atomic_bool opened_here[kDescriptors];
static atomic_bool filled[kDescriptors];
static long at;
static const char* kind = "none";
static int log_file = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  unsetenv("LD_PRELOAD");  // compilers that the program starts are left alone
  if (getenv("FAULT_KIND") != NULL) kind = getenv("FAULT_KIND");
  if (getenv("FAULT_AT") != NULL) at = atol(getenv("FAULT_AT"));
  if (getenv("FAULT_LOG") != NULL) {
    log_file = REAL(open)(getenv("FAULT_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  }
}

__attribute__((format(printf, 1, 2))) static void note(const char* format, ...) {
  const int before = errno;
  char line[4200];
  va_list list;
  va_start(list, format);
  const int length = vsnprintf(line, sizeof line, format, list);
  va_end(list);
  if (log_file >= 0 && length > 0) (void)!REAL(write)(log_file, line, (size_t)length);
  errno = before;
}

static int is(const char* name) { return strcmp(kind, name) == 0; }

// Whether this call is to fail; counts it.
static int fails(const char* call, const char* path) {
  const long n = ++calls;
  if (is("none") || is("short") || (is("once") ? n != at : n < at)) return 0;
  if (!atomic_exchange(&failed, 1)) note("fault %s %s\n", call, path);
  errno = is("full") ? ENOSPC : is("readonly") ? EROFS : EIO;
  return 1;
}

static int ours(int descriptor) {
  return descriptor >= 0 && descriptor < kDescriptors && opened_here[descriptor];
}

static int opened(const char* path, int flags, mode_t mode) {
  if ((flags & O_CREAT) == 0) return REAL(open)(path, flags, mode);
  if (fails("open", path)) return -1;
  const int descriptor = REAL(open)(path, flags, mode);
  if (descriptor >= 0 && descriptor < kDescriptors) {
    opened_here[descriptor] = 1;
    filled[descriptor] = 0;
  }
  return descriptor;
}

#define OPEN(name)                             \
  int name(const char* path, int flags, ...) { \
    mode_t mode = 0;                           \
    if ((flags & O_CREAT) != 0) {              \
      va_list list;                            \
      va_start(list, flags);                   \
      mode = va_arg(list, mode_t);             \
      va_end(list);                            \
    }                                          \
    return opened(path, flags, mode);          \
  }
OPEN(open)
OPEN(open64)

ssize_t write(int descriptor, const void* bytes, size_t count) {
  if (!ours(descriptor)) return REAL(write)(descriptor, bytes, count);
  filled[descriptor] = 1;
  if (is("short") && ++calls >= at && count > 1) {
    return REAL(write)(descriptor, bytes, (count + 1) / 2);
  }
  const int first = !failed;
  if (!fails("write", "")) return REAL(write)(descriptor, bytes, count);
  // A disk that fills up takes a part first and says so at the next write.
  if (is("full") && first && count > 1) return REAL(write)(descriptor, bytes, count / 2);
  return -1;
}

#define PWRITE(name, offset_type)                                                     \
  ssize_t name(int descriptor, const void* bytes, size_t count, offset_type offset) { \
    if (ours(descriptor) && fails("pwrite", "")) return -1;                           \
    return REAL(name)(descriptor, bytes, count, offset);                              \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

int fsync(int descriptor) {
  if (ours(descriptor) && fails("fsync", "")) return -1;
  return REAL(fsync)(descriptor);
}

int close(int descriptor) {
  if (!ours(descriptor)) return REAL(close)(descriptor);
  opened_here[descriptor] = 0;
  // What a file never held cannot be lost at its end.
  const int failing = filled[descriptor] && fails("close", "");
  const int error = errno;
  const int result = REAL(close)(descriptor);
  errno = error;
  return failing ? -1 : result;
}

int rename(const char* from, const char* to) {
  if (fails("rename", to)) return -1;
  const int result = REAL(rename)(from, to);
  if (result == 0) note("renamed %s\n", to);
  return result;
}

int mkdir(const char* path, mode_t mode) {
  struct stat status;
  if (stat(path, &status) != 0 && fails("mkdir", path)) return -1;
  return REAL(mkdir)(path, mode);
}

static int locked(int (*real)(int, int, ...), int descriptor, int command, void* argument) {
  const int result = real(descriptor, command, argument);
  if (command == F_OFD_SETLK && result == 0) {
    const struct flock* range = argument;
    note("%s %015llx\n", range->l_type == F_UNLCK ? "released" : "claimed",
         (unsigned long long)range->l_start);
  }
  return result;
}

#define FCNTL(name)                                           \
  int name(int descriptor, int command, ...) {                \
    va_list list;                                             \
    va_start(list, command);                                  \
    void* argument = va_arg(list, void*);                     \
    va_end(list);                                             \
    return locked(REAL(name), descriptor, command, argument); \
  }
FCNTL(fcntl)
FCNTL(fcntl64)
