/* A ustar archive (POSIX.1-2017, pax, "ustar Interchange Format") into a folder. See untar.h. */
#include "untar.h"

#include <base/error.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void
untar_begin(struct untar *untar, const char *folder)
{
    memset(untar, 0, sizeof *untar);
    untar->folder = folder;
    untar->file = -1;
}

bool
untar_name_safe(const char *name)
{
    if (name[0] == '/' || name[0] == '\0')
        return false;
    for (const char *at = name; *at;) {
        size_t size = strcspn(at, "/");
        if (size == 2 && at[0] == '.' && at[1] == '.')
            return false;
        at += size;
        while (*at == '/')
            at++;
    }
    return strchr(name, '\\') == NULL;
}

/* Octal digits, or with the first bit set a big-endian binary number (GNU and star, for large files). */
static bool
read_number(const unsigned char *field, size_t size, uint64_t *ret)
{
    uint64_t value = 0;
    if (field[0] & 0x80) {
        value = field[0] & 0x7F;
        for (size_t i = 1; i < size; i++) {
            if (value >> 55)
                return false;
            value = value << 8 | field[i];
        }
        *ret = value;
        return true;
    }
    size_t i = 0;
    while (i < size && field[i] == ' ')
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0');
    *ret = value;
    return i == size || field[i] == '\0' || field[i] == ' ';
}

static bool
checksum_holds(const unsigned char *block)
{
    uint64_t said, sum = 0;
    for (size_t i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? ' ' : block[i];
    return read_number(block + 148, 8, &said) && said == sum;
}

static cairn_err
path_of(struct untar *untar, char path[4096], cairn_error *error)
{
    const char *field = (const char *)untar->block, *prefix = field + 345;
    bool has_prefix = memcmp(field + 257, "ustar", 5) == 0 && prefix[0];
    snprintf(untar->name, sizeof untar->name, "%.*s%s%.100s", has_prefix ? 155 : 0, prefix, has_prefix ? "/" : "",
             field);
    if (!untar_name_safe(untar->name))
        return error_set(error, CAIRN_E_INVALID, "the archive names \"%.200s\", which leads out of the folder",
                         untar->name);
    int size = snprintf(path, 4096, "%s/%s", untar->folder, untar->name);
    if (size < 0 || size >= 4096)
        return error_set(error, CAIRN_E_LIMIT, "the path of \"%.200s\" is too long", untar->name);
    return CAIRN_OK;
}

/* Make the folders of a path, from the archive's own on. */
static cairn_err
make_parents(struct untar *untar, char *path, cairn_error *error)
{
    for (char *slash = path + strlen(untar->folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        int failed = mkdir(path, 0777) != 0 && errno != EEXIST;
        *slash = '/';
        if (failed)
            return error_set_errno(error, errno, "cannot make the folder of %s", path);
    }
    return CAIRN_OK;
}

static cairn_err
finish_file(struct untar *untar, cairn_error *error)
{
    int file = untar->file;
    untar->file = -1;
    int failed = fsync(file) != 0 ? errno : 0;
    if (close(file) != 0 && !failed)
        failed = errno;
    return failed ? error_set_errno(error, failed, "cannot write %s", untar->name) : CAIRN_OK;
}

static cairn_err
begin_entry(struct untar *untar, cairn_error *error)
{
    char path[4096], type = (char)untar->block[156];
    uint64_t size;
    if (!checksum_holds(untar->block) || !read_number(untar->block + 124, 12, &size))
        return error_set(error, CAIRN_E_CORRUPT, "a header of the archive is damaged, after %llu bytes",
                         (unsigned long long)untar->bytes);
    cairn_err err = path_of(untar, path, error);
    if (err == CAIRN_OK)
        err = make_parents(untar, path, error);
    if (err != CAIRN_OK)
        return err;
    if (type == '5') {
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return error_set_errno(error, errno, "cannot make the folder %s", path);
        return CAIRN_OK;
    }
    if (type != '0' && type != '\0')
        return error_set(error, CAIRN_E_INVALID, "the archive holds \"%.200s\", which is neither file nor folder",
                         untar->name);
    untar->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (untar->file < 0)
        return error_set_errno(error, errno, "cannot make %s", path);
    untar->files++;
    untar->left = size;
    untar->padding = (512 - size % 512) % 512;
    return size ? CAIRN_OK : finish_file(untar, error);
}

static cairn_err
take_content(struct untar *untar, cairn_str *bytes, cairn_error *error)
{
    size_t size = bytes->size < untar->left ? bytes->size : (size_t)untar->left;
    for (size_t done = 0; done < size;) {
        ssize_t n = write(untar->file, bytes->data + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(error, errno, "cannot write %s/%s", untar->folder, untar->name);
        done += (size_t)n;
    }
    bytes->data += size;
    bytes->size -= size;
    untar->left -= size;
    return untar->left == 0 ? finish_file(untar, error) : CAIRN_OK;
}

static cairn_err
take_block(struct untar *untar, cairn_error *error)
{
    static const unsigned char zeros[512];
    untar->block_size = 0;
    if (memcmp(untar->block, zeros, 512) == 0) {
        untar->zero_blocks++;
        return CAIRN_OK;
    }
    untar->zero_blocks = 0;
    return begin_entry(untar, error);
}

cairn_err
untar_take(struct untar *untar, cairn_str bytes, cairn_error *error)
{
    cairn_err err = CAIRN_OK;
    untar->bytes += bytes.size;
    while (bytes.size > 0 && err == CAIRN_OK && untar->zero_blocks < 2) {
        if (untar->left > 0) {
            err = take_content(untar, &bytes, error);
            continue;
        }
        size_t size = untar->padding ? (size_t)untar->padding : 512 - untar->block_size;
        size = bytes.size < size ? bytes.size : size;
        if (untar->padding) {
            untar->padding -= size;
        } else {
            memcpy(untar->block + untar->block_size, bytes.data, size);
            untar->block_size += size;
        }
        bytes.data += size;
        bytes.size -= size;
        if (untar->block_size == 512)
            err = take_block(untar, error);
    }
    return err;
}

cairn_err
untar_end(struct untar *untar, cairn_error *error)
{
    if (untar->file >= 0)
        close(untar->file);
    untar->file = -1;
    if (untar->zero_blocks < 2)
        return error_set(error, CAIRN_E_INVALID, "the archive ends early, after %llu bytes",
                         (unsigned long long)untar->bytes);
    return CAIRN_OK;
}
