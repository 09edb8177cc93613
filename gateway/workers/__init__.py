"""Several processes on the same addresses, and the parent that holds the sockets and watches them.

    serve    reads the configuration, binds every address, and becomes the parent: exec, with the sockets in its hands
    parent   starts the workers, replaces those that die or hang, and speaks for all of them on the ops address
    worker   one gateway, on sockets that it inherits

The parent never closes a listening socket while it lives, so that a connection in a queue outlasts any worker. It reads
no configuration and imports no code that handles requests: what holds the sockets is small, and has no secrets.
"""
