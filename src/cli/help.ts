/** What `manifold --help` prints. */

export const help = `Manifold, a transparent proxy for gRPC, gRPC-Web and Connect.

usage:
  manifold [serve] --to URL... [--listen ADDR]...    proxy to one upstream, without a file
  manifold [serve] [--config FILE] [--listen ADDR]...  proxy as a file says (default manifold.yaml)
  manifold check [--config FILE]                     say all that is wrong with a file
  manifold reload [--config FILE]                    have the process that runs a file read it again (it needs admin)
  manifold restart [--config FILE]                   have its workers replaced, without a failed call
  manifold init [FILE]                               write a file to start from
  manifold demo [--to URL]... [--listen ADDR]...     proxy to three gRPC servers of its own, with a page to try it

options:
  -c, --config FILE      the configuration, YAML
  -l, --listen ADDR      host:port, [ipv6]:port or :port; port 0 takes a free one; in place of the file's
                         listeners (default 127.0.0.1:8080)
      --cors ORIGIN      lets pages of this origin call: https://app.example.com, https://*.example.com or "*";
                         repeatable
  -t, --to URL           http://host:port (cleartext) or https://host:port; several are the endpoints of one
                         upstream, of which these three say more:
      --protocols LIST   what it speaks: grpc, grpc_web, connect (default grpc); calls in others are bridged to
                         the first
      --http VERSION     2 or 1.1 (default 2; gRPC needs it)
      --schema SCHEMA    "reflection", or the path of a Buf image: where its messages are described, for callers
                         that speak JSON
      --log-level LEVEL  debug, info, warn, error or silent (default info)
      --access-log FORM  auto, pretty, json or off (default auto: pretty on a terminal, else JSON lines)
  -w, --workers NUMBER   processes that share the ports: a number, or "auto" for one per core (default: one, without
                         a supervisor)
      --no-watch         don't reload when the file, or one that it names, changes; SIGHUP reloads always
      --no-access-log    the same as --access-log off
  -v, --version          print the version
  -h, --help             print this

environment:
  NO_COLOR               no colours

exit codes: 0 done, 1 failed, 2 wrong usage
`;
