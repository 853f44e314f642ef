/* cairn/cairn.h: all of libcairn. */
#ifndef CAIRN_CAIRN_H
#define CAIRN_CAIRN_H

#include <cairn/admin.h>
#include <cairn/app.h>
#include <cairn/group.h>
#include <cairn/store.h>
#include <cairn/topic.h>
#include <cairn/types.h>

/* "0.1.0" */
CAIRN_API const char *cairn_version(void);

#endif
