"""A service: answers over HTTP and WebSocket, and a page to try them.

The way of a request: ``protocol`` (slow headers) → ``security`` (host, origin, token) → ``app``
(routes) → ``uploads`` (body → a file without a name) → ``pool`` (places, processes) → ``channel``
→ ``worker`` (the process that reads clips) and back; ``live`` for cameras and microphones.
"""
