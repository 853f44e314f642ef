# The HTTP API's and the server's tests drive the server by libcurl.
$(B)/tests/integration/api_http $(B)/tests/integration/api_follow $(B)/tests/integration/server_process: SERVER_LIBS += -lcurl
