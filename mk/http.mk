# The HTTP tests of HTTP/2 and TLS take libcurl as their client.
$(B)/tests/integration/http_h2: SERVER_LIBS += -lcurl
