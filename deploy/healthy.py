"""Exit code 0 if the address answers, be it that it does not know us: for health checks in an image
without curl."""

import sys
import urllib.error
import urllib.request

try:
    urllib.request.urlopen(sys.argv[1], timeout=4)
except urllib.error.HTTPError as refused:
    sys.exit(refused.code >= 500)
