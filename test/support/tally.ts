import { createServer, request as forward } from "node:http";
import type { AddressInfo } from "node:net";

/** Stands before a real registry and counts what is asked of it. */
export interface Tally extends AsyncDisposable {
  host: string;
  /** `HEAD /v2/a/manifests/b`, in the order of their arrival. */
  seen: string[];
  /** Bytes of request bodies. */
  sent: number;
}

export async function startTally(upstream: string): Promise<Tally> {
  const seen: string[] = [];
  const tally = { sent: 0 };
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    request.on("data", (chunk: Buffer) => (tally.sent += chunk.length));
    const [host, port] = upstream.split(":");
    const onward = forward(
      { host, port, path: request.url, method: request.method, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    get sent() {
      return tally.sent;
    },
    [Symbol.asyncDispose]: close,
  };
}
