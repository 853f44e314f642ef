/* cli/untar.h: take a ustar archive apart as it arrives, into a folder.
 *
 * Only what a backup holds is taken: plain files and folders with relative names. A name that leads out of the
 * folder, a link, a device or a damaged header ends it with an error. Files are synced before their
 * close, folders at the end. */
#ifndef CLI_UNTAR_H
#define CLI_UNTAR_H

#include <base/bytes.h>

struct untar {
    const char *folder;     /* must exist; borrowed */
    unsigned char block[512];
    size_t block_size;      /* bytes of `block` that have come */
    uint64_t left, padding; /* of the file under way */
    int file;               /* -1: none */
    unsigned zero_blocks;   /* two end the archive */
    uint64_t bytes, files;
    char name[512];
};

void untar_begin(struct untar *untar, const char *folder);
CAIRN_MUST_CHECK cairn_err untar_take(struct untar *untar, cairn_str bytes, cairn_error *error);
/* After the last byte. CAIRN_E_INVALID when the archive is cut short. Closes what is open in any case. */
CAIRN_MUST_CHECK cairn_err untar_end(struct untar *untar, cairn_error *error);

/* True for a relative path of plain components. */
bool untar_name_safe(const char *name);

#endif
