/** What `manifold --help` prints. */

export const help = `Manifold, a transparent proxy for gRPC.

usage:
  manifold [serve] --to URL... [--listen ADDR]...    proxy to one upstream, without a file
  manifold [serve] [--config FILE] [--listen ADDR]...  proxy as a file says (default manifold.yaml)
  manifold check [--config FILE]                     say all that is wrong with a file
  manifold init [FILE]                               write a file to start from
  manifold demo [--to URL]... [--listen ADDR]...     proxy to three gRPC servers of its own, to try it out

options:
  -c, --config FILE      the configuration, YAML
  -l, --listen ADDR      host:port, [ipv6]:port or :port; port 0 takes a free one; in place of the file's
                         listeners (default 127.0.0.1:8080)
  -t, --to URL           http://host:port (cleartext HTTP/2) or https://host:port; several are the endpoints
                         of one upstream
      --log-level LEVEL  debug, info, warn, error or silent (default info)
      --access-log FORM  auto, pretty, json or off (default auto: pretty on a terminal, else JSON lines)
      --no-access-log    the same as --access-log off
  -v, --version          print the version
  -h, --help             print this

environment:
  NO_COLOR               no colours

exit codes: 0 done, 1 failed, 2 wrong usage
`;
