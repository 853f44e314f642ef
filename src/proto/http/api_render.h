/* proto/http/api_render.h: events on their way out. Pure. Written straight into a reused buffer. */
#ifndef PROTO_HTTP_API_RENDER_H
#define PROTO_HTTP_API_RENDER_H

#include <base/arena.h>
#include <base/bytes.h>

/* {"position":…,"stream":…,"revision":…,"time":…,"id":…,"type":…,"data":…,"meta":…,"tags":[…]} with the
 * data's exact bytes where it is JSON, otherwise as data_base64 with content_type. Members that are
 * empty are left out. The closing brace is left out too, so that a caller may add members. */
void render_event_open(struct buf *to, const cairn_recorded *event);
void render_event(struct buf *to, const cairn_recorded *event);
/* The same on one line, whatever white space the data holds; no newline at the end. */
void render_event_line(struct buf *to, const cairn_recorded *event);
/* As a CloudEvent in the JSON format. */
void render_cloudevent(struct buf *to, const cairn_recorded *event);

#endif
