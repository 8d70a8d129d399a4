/* UVC cameras for programs that this is preloaded into (LD_PRELOAD), without a kernel's help.
 *
 * Each file videoN in the folder that FAKE_V4L2 names is a camera; /dev/videoN means the same.
 * Its text says what it is, words apart by white space, and is read again at every call:
 *
 *   yuyv=640x480@30,1280x720@10   sizes and rates of the raw format
 *   mjpg=1280x720@30              the same of the compressed one; pictures are of videoN.WxH.jpg
 *   card=NAME                     what it calls itself
 *   slow=MS                       time until its first frame
 *   freeze                        no frames (now)
 *   full                          its USB has no room for what it would send
 *   bad=N                         every Nth frame holds no picture, of the compressed ones
 *   meta                          the second node of a camera, which gives no pictures
 *
 * A file that goes away is a camera that is unplugged: what is open gets ENODEV. A lock (flock) on
 * the file is another program that has the camera. A frame is sent for as long as a period lasts
 * and needs a free buffer when it begins, or is lost, as on a USB.
 *
 * The picture is eight upright bars: red, green, blue, yellow, cyan, magenta, white, grey. Across
 * its lowest eighth, sixteen black or white fields: the number of the frame, highest bit first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FDS = 4096, BUFFERS = 32, MODES = 16, LOOK_NS = 5000000, NO_CAMERA = -2 };

typedef struct {
    uint32_t format, width, height, hz;
} Mode;

typedef struct {
    char path[PATH_MAX], card[32];
    ino_t inode;
    int lock, freeze, full, bad, meta, slow_ms, modes;
    Mode offers[MODES], mode;
    uint8_t *memory;
    uint32_t length, buffers, number;
    int streaming, filling;
    int queue[BUFFERS], queued, done[BUFFERS], finished;
    struct { uint32_t number; int64_t begun_ns; int is_queued; } frames[BUFFERS];
    int64_t end_ns;
} Camera;

static Camera *cameras[FDS];
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

static int real_open(const char *path, int flags) {
    return REAL("open64", int (*)(const char *, int, ...))(path, flags | O_CLOEXEC);
}

static int real_close(int fd) {
    return REAL("close", int (*)(int))(fd);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t period_ns(const Camera *c) {
    return 1000000000LL / (c->mode.hz ? c->mode.hz : 30);
}

static void read_modes(Camera *c, uint32_t format, char *text) {
    char *rest;
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        Mode m = {.format = format};
        if (c->modes < MODES && sscanf(word, "%ux%u@%u", &m.width, &m.height, &m.hz) == 3)
            c->offers[c->modes++] = m;
    }
}

/* Read what the camera is now; 0 when it is gone. */
static int look(Camera *c) {
    struct stat status;
    char text[1024], *rest;
    int file = real_open(c->path, O_RDONLY);
    if (file < 0)
        return 0;
    ssize_t count = read(file, text, sizeof text - 1);
    int is_same = !fstat(file, &status) && (!c->inode || status.st_ino == c->inode);
    real_close(file);
    if (!is_same || count < 0)
        return 0;
    text[count] = 0;
    c->inode = status.st_ino;
    c->modes = c->freeze = c->full = c->bad = c->meta = c->slow_ms = 0;
    snprintf(c->card, sizeof c->card, "Fake camera");
    const char *space = " \t\n";
    for (char *word = strtok_r(text, space, &rest); word; word = strtok_r(NULL, space, &rest)) {
        if (!strncmp(word, "yuyv=", 5))
            read_modes(c, V4L2_PIX_FMT_YUYV, word + 5);
        else if (!strncmp(word, "mjpg=", 5))
            read_modes(c, V4L2_PIX_FMT_MJPEG, word + 5);
        else if (!strncmp(word, "card=", 5))
            snprintf(c->card, sizeof c->card, "%.31s", word + 5);
        else if (!strncmp(word, "slow=", 5))
            c->slow_ms = atoi(word + 5);
        else if (!strncmp(word, "bad=", 4))
            c->bad = atoi(word + 4);
        c->freeze |= !strcmp(word, "freeze");
        c->full |= !strcmp(word, "full");
        c->meta |= !strcmp(word, "meta");
    }
    return 1;
}

/* The nearest offer: its format if there is one of it, then the size, then the rate. */
static Mode nearest(const Camera *c, Mode wanted) {
    Mode best = c->offers[0];
    long least = LONG_MAX;
    for (int i = 0; i < c->modes; i++) {
        Mode m = c->offers[i];
        long far = labs((long)m.width * m.height - (long)wanted.width * wanted.height) * 1000;
        far += labs((long)m.hz - (long)wanted.hz) + (m.format == wanted.format ? 0 : LONG_MAX / 2);
        if (far < least)
            least = far, best = m;
    }
    return best;
}

static void catch_up(Camera *c) {
    for (int64_t now = now_ns(); c->streaming && c->end_ns <= now; c->end_ns += period_ns(c)) {
        if (c->freeze)
            continue;
        if (c->filling >= 0) {
            c->frames[c->filling].number = c->number;
            c->frames[c->filling].begun_ns = c->end_ns - period_ns(c);
            c->done[c->finished++] = c->filling;
        }
        c->number++;
        c->filling = c->queued ? c->queue[0] : -1;
        if (c->queued)
            memmove(c->queue, c->queue + 1, sizeof(int) * --c->queued);
    }
}

static uint32_t paint(Camera *c, int index) {
    static const uint8_t bars[8][3] = { /* Y, U, V of ITU-R BT.601, 16 to 235 and 16 to 240 */
        {81, 90, 240}, {145, 54, 34}, {41, 240, 110}, {210, 16, 146},
        {170, 166, 16}, {106, 202, 222}, {235, 128, 128}, {126, 128, 128}};
    uint8_t *at = c->memory + (size_t)index * c->length;
    uint32_t width = c->mode.width, height = c->mode.height;
    if (c->mode.format == V4L2_PIX_FMT_MJPEG) {
        char path[PATH_MAX + 32];
        snprintf(path, sizeof path, "%s.%ux%u.jpg", c->path, width, height);
        int is_bad = c->bad && c->frames[index].number % c->bad == 0;
        int file = is_bad ? -1 : real_open(path, O_RDONLY);
        ssize_t count = file < 0 ? 0 : read(file, at, c->length);
        if (file >= 0)
            real_close(file);
        if (count > 0)
            return count;
        memset(at, 0, 64);
        return 64;
    }
    uint32_t stride = width * 2, top = height - height / 8;
    for (uint32_t x = 0; x < width; x += 2) {
        const uint8_t *bar = bars[x * 8 / width];
        uint8_t light = c->frames[index].number >> (15 - x * 16 / width) & 1 ? 235 : 16;
        memcpy(at + 2 * x, (uint8_t[]){bar[0], bar[1], bar[0], bar[2]}, 4);
        memcpy(at + top * stride + 2 * x, (uint8_t[]){light, 128, light, 128}, 4);
    }
    for (uint32_t y = 1; y < height; y++)
        if (y != top)
            memcpy(at + y * stride, at + (y < top ? 0 : top * stride), stride);
    return width * height * 2;
}

static int fail(int code) {
    errno = code;
    return -1;
}

static void describe(Camera *c, struct v4l2_buffer *b) {
    uint32_t index = b->index;
    b->memory = V4L2_MEMORY_MMAP;
    b->length = c->length;
    b->m.offset = index * c->length;
    b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_TSTAMP_SRC_SOE;
    b->field = V4L2_FIELD_NONE;
    b->sequence = c->frames[index].number;
    b->timestamp.tv_sec = c->frames[index].begun_ns / 1000000000;
    b->timestamp.tv_usec = c->frames[index].begun_ns % 1000000000 / 1000;
}

static int set_format(Camera *c, struct v4l2_pix_format *p, int is_kept) {
    Mode m = nearest(c, (Mode){p->pixelformat, p->width, p->height, c->mode.hz});
    p->width = m.width, p->height = m.height, p->pixelformat = m.format;
    p->field = V4L2_FIELD_NONE;
    p->bytesperline = m.format == V4L2_PIX_FMT_YUYV ? m.width * 2 : 0;
    p->sizeimage = m.width * m.height * 2;
    if (is_kept)
        c->mode = m;
    return 0;
}

static int set_buffers(Camera *c, int fd, struct v4l2_requestbuffers *r) {
    if (r->memory != V4L2_MEMORY_MMAP)
        return fail(EINVAL);
    if (c->memory)
        munmap(c->memory, (size_t)c->length * c->buffers);
    c->memory = NULL;
    c->streaming = c->queued = c->finished = 0;
    memset(c->frames, 0, sizeof c->frames);
    c->buffers = r->count = r->count > BUFFERS ? BUFFERS : r->count;
    uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);  /* buffers begin on pages of their own */
    c->length = (c->mode.width * c->mode.height * 2 + page - 1) / page * page;
    size_t size = (size_t)c->length * c->buffers;
    if (!size)
        return flock(c->lock, LOCK_UN);
    if (ftruncate(fd, size))
        return -1;
    c->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return c->memory == MAP_FAILED ? -1 : 0;
}

static int enumerate(const Camera *c, unsigned long request, void *argument) {
    static const uint32_t formats[] = {V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_MJPEG};
    struct v4l2_fmtdesc *f = argument;
    struct v4l2_frmsizeenum *s = argument;
    struct v4l2_frmivalenum *v = argument;
    uint32_t seen = 0;
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0, is_first = 1, last = 0; i < (uint32_t)c->modes; i++) {
            Mode m = c->offers[i];
            if (m.format != formats[k])
                continue;
            if (request == VIDIOC_ENUM_FMT && is_first && seen++ == f->index) {
                f->pixelformat = m.format;
                return 0;
            }
            is_first = 0;
            if (request == VIDIOC_ENUM_FRAMESIZES && m.format == s->pixel_format &&
                m.width != last && seen++ == s->index) {
                s->type = V4L2_FRMSIZE_TYPE_DISCRETE;
                s->discrete.width = m.width, s->discrete.height = m.height;
                return 0;
            }
            last = m.width;
            if (request == VIDIOC_ENUM_FRAMEINTERVALS && m.format == v->pixel_format &&
                m.width == v->width && m.height == v->height && seen++ == v->index) {
                v->type = V4L2_FRMIVAL_TYPE_DISCRETE;
                v->discrete.numerator = 1, v->discrete.denominator = m.hz;
                return 0;
            }
        }
    return fail(EINVAL);
}

static int answer(Camera *c, int fd, unsigned long request, void *argument) {
    struct v4l2_capability *capability = argument;
    struct v4l2_format *format = argument;
    struct v4l2_streamparm *rate = argument;
    struct v4l2_buffer *buffer = argument;
    if (!look(c))
        return fail(ENODEV);
    catch_up(c);
    int takes = request == VIDIOC_S_FMT || request == VIDIOC_S_PARM ||
                request == VIDIOC_REQBUFS || request == VIDIOC_STREAMON;
    if (request != VIDIOC_QUERYCAP && c->meta)
        return fail(EINVAL);
    if (takes && flock(c->lock, LOCK_EX | LOCK_NB))
        return fail(EBUSY);
    if (request == VIDIOC_S_FMT ? c->buffers : request == VIDIOC_S_PARM && c->streaming)
        return fail(EBUSY);
    switch (request) {
    case VIDIOC_QUERYCAP:
        memset(capability, 0, sizeof *capability);
        memcpy(capability->driver, "uvcvideo", 9);
        memcpy(capability->card, c->card, sizeof c->card);
        capability->device_caps =
            V4L2_CAP_STREAMING | (c->meta ? V4L2_CAP_META_CAPTURE : V4L2_CAP_VIDEO_CAPTURE);
        capability->capabilities = V4L2_CAP_STREAMING | V4L2_CAP_META_CAPTURE |
                                   V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_DEVICE_CAPS;
        return 0;
    case VIDIOC_ENUM_FMT:
    case VIDIOC_ENUM_FRAMESIZES:
    case VIDIOC_ENUM_FRAMEINTERVALS:
        return enumerate(c, request, argument);
    case VIDIOC_G_FMT:
        format->fmt.pix.width = c->mode.width, format->fmt.pix.height = c->mode.height;
        format->fmt.pix.pixelformat = c->mode.format;
        return set_format(c, &format->fmt.pix, 0);
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT:
        return set_format(c, &format->fmt.pix, request == VIDIOC_S_FMT);
    case VIDIOC_S_PARM: {
        struct v4l2_fract t = rate->parm.capture.timeperframe;
        Mode wanted = c->mode;
        wanted.hz = t.numerator ? t.denominator / t.numerator : 0;
        c->mode = nearest(c, wanted);
    } /* fall through */
    case VIDIOC_G_PARM:
        rate->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        rate->parm.capture.timeperframe = (struct v4l2_fract){1, c->mode.hz};
        return 0;
    case VIDIOC_REQBUFS:
        return set_buffers(c, fd, argument);
    case VIDIOC_QUERYBUF:
    case VIDIOC_QBUF:
        if (buffer->index >= c->buffers || c->frames[buffer->index].is_queued)
            return fail(EINVAL);
        describe(c, buffer);
        if (request == VIDIOC_QBUF) {
            c->frames[buffer->index].is_queued = 1;
            c->queue[c->queued++] = buffer->index;
        }
        return 0;
    case VIDIOC_STREAMON:
        if (c->full)
            return fail(ENOSPC);
        c->end_ns = now_ns() + c->slow_ms * 1000000LL + period_ns(c);
        c->streaming = 1, c->filling = -1;
        return 0;
    case VIDIOC_STREAMOFF:
        c->streaming = c->queued = c->finished = 0;
        memset(c->frames, 0, sizeof c->frames);
        return 0;
    case VIDIOC_DQBUF:
        if (!c->streaming)
            return fail(EINVAL);
        if (!c->finished)
            return fail(EAGAIN);
        buffer->index = c->done[0];
        memmove(c->done, c->done + 1, sizeof(int) * --c->finished);
        c->frames[buffer->index].is_queued = 0;
        describe(c, buffer);
        buffer->bytesused = paint(c, buffer->index);
        return 0;
    default: /* controls, inputs: it has none */
        return fail(request == VIDIOC_QUERYCTRL ? EINVAL : ENOTTY);
    }
}

/* ---- what programs call ---- */

static int open_camera(const char *path) {
    const char *folder = getenv("FAKE_V4L2"), *name = strrchr(path, '/');
    char real[PATH_MAX], home[PATH_MAX];
    if (!folder || !realpath(folder, home))
        return NO_CAMERA;
    if (!strncmp(path, "/dev/video", 10))
        snprintf(real, sizeof real, "%.2000s%s", home, name);
    else if (!realpath(path, real))
        return NO_CAMERA;
    size_t length = strlen(home);
    const char *rest = real + (strlen(real) < length ? 0 : length);
    if (strncmp(real, home, length) || strncmp(rest, "/video", 6) || strchr(rest, '.'))
        return NO_CAMERA;
    Camera *c = calloc(1, sizeof *c);
    strcpy(c->path, real);
    if (access(real, R_OK | W_OK) || !look(c)) {
        free(c);
        return -1;
    }
    c->mode = c->offers[0];
    c->filling = -1;
    c->lock = real_open(real, O_RDONLY);
    int fd = memfd_create("camera", MFD_CLOEXEC);
    cameras[fd] = c;
    return fd;
}

#define OPEN(name)                                                              \
    int name(const char *path, int flags, ...) {                                \
        va_list rest;                                                           \
        va_start(rest, flags);                                                  \
        mode_t mode = va_arg(rest, mode_t);                                     \
        va_end(rest);                                                           \
        int fd = open_camera(path);                                             \
        if (fd != NO_CAMERA)                                                    \
            return fd;                                                          \
        return REAL(#name, int (*)(const char *, int, ...))(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

static Camera *camera_of(int fd) {
    return fd >= 0 && fd < FDS ? cameras[fd] : NULL;
}

int close(int fd) {
    Camera *c = camera_of(fd);
    if (c) {
        cameras[fd] = NULL;
        if (c->memory)
            munmap(c->memory, (size_t)c->length * c->buffers);
        real_close(c->lock);
        free(c);
    }
    return real_close(fd);
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    Camera *c = camera_of(fd);
    if (!c)
        return REAL("ioctl", int (*)(int, unsigned long, ...))(fd, request, argument);
    pthread_mutex_lock(&guard);
    int result = answer(c, fd, request & 0xffffffff, argument);
    int code = errno;
    pthread_mutex_unlock(&guard);
    errno = code;
    return result;
}

/* Wait until a frame is there or the camera is gone: 1, or until the time is up: 0. */
static int wait_for_frame(Camera *c, int64_t timeout_ns) {
    for (int64_t begun_ns = now_ns();;) {
        pthread_mutex_lock(&guard);
        int is_there = look(c);
        catch_up(c);
        int is_ready = !is_there || !c->streaming || c->finished;
        pthread_mutex_unlock(&guard);
        int64_t left_ns = timeout_ns < 0 ? LOOK_NS : begun_ns + timeout_ns - now_ns();
        if (is_ready || left_ns <= 0)
            return is_ready;
        struct timespec nap = {0, left_ns < LOOK_NS ? left_ns : LOOK_NS};
        if (nanosleep(&nap, NULL))
            return -1;
    }
}

int select(int count, fd_set *readable, fd_set *writable, fd_set *odd, struct timeval *timeout) {
    int is_one = readable && count > 0 && FD_ISSET(count - 1, readable);
    Camera *c = is_one ? camera_of(count - 1) : NULL;
    if (!c)
        return REAL("select", int (*)(int, fd_set *, fd_set *, fd_set *, struct timeval *))(
            count, readable, writable, odd, timeout);
    int found = wait_for_frame(
        c, timeout ? timeout->tv_sec * 1000000000LL + timeout->tv_usec * 1000LL : -1);
    if (!found)
        FD_ZERO(readable);
    return found;
}
