// A request listener for servers on node:http and node:http2: what Connect's own adapter does, for one handler and all paths.
import { createContextValues } from "@connectrpc/connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { peerKey } from "rpc-manifold";

/**
 * @param handler a proxy's
 * @param parsedBody what a body parser has made of the body, if one was at it
 */
export async function handleNode(handler, request, response, parsedBody) {
  const { remoteAddress: address = "", remotePort: port = 0 } = request.socket;
  const values = createContextValues().set(peerKey, { address, port });
  try {
    const reply = await handler(universalRequestFromNodeRequest(request, response, parsedBody, values));
    await universalResponseToNodeResponse(reply, response);
  } catch {
    response.destroy(); // the call was cut off: so must the response be, that nobody takes it for a whole one
  }
}
