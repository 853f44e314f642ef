/* proto/http/api_metrics.h: lines of Prometheus' text format, for the files that write /metrics together. */
#ifndef PROTO_HTTP_API_METRICS_H
#define PROTO_HTTP_API_METRICS_H

#include <proto/http/api_int.h>

void metric_head(struct buf *to, const char *name, const char *type, const char *help);
/* A metric without labels, whole. */
void metric_whole(struct buf *to, const char *name, const char *type, const char *help, uint64_t value);
/* `label="value"`, escaped. */
void metric_label(struct buf *to, const char *label, cairn_str name);

/* Topics, groups and relays: api_metrics_kafka.c. */
CAIRN_MUST_CHECK cairn_err api_metrics_kafka(struct api_call *call, cairn_error *error);

#endif
