/* proto/http/console.h: the web console: files that the build has put into the program, served at /console/.
 *
 * The files come from console/ (mk/console.mk makes the table); a build without npm has none, and a plain page
 * says so. Pages of the console are addresses under /console/ that all get index.html; what lies under
 * /console/assets/ bears its digest in its name and never changes. */
#ifndef PROTO_HTTP_CONSOLE_H
#define PROTO_HTTP_CONSOLE_H

#include <cairn/types.h>

struct http_exchange;

/* One file as it lies in the program. The table ends with a path of NULL. scripts/console-embed.sh writes this very
 * layout: change both together. */
struct console_file {
    const char *path; /* "assets/index-4f2a.js": below /console/ */
    const char *type; /* content-type */
    const char *etag; /* of `bytes`, in quotes; `gzip` has its own */
    const char *gzip_etag;
    const char *bytes;
    size_t size;
    const char *gzip; /* the same compressed; NULL where that saves nothing */
    size_t gzip_size;
};
extern const struct console_file console_files[];

/* Is the request the console's: GET or HEAD of /console or below it, or of / by a browser? Then it has been
 * answered, with *ret_status. */
bool console_serve(struct http_exchange *x, int *ret_status);

#endif
