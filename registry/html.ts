import type { Exchange } from "./exchange.ts";

const STYLE =
  "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}" +
  "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}code,pre,li{font-family:ui-monospace,monospace;font-size:.9rem}" +
  "pre{background:#f4f4f4;padding:.8rem;overflow-x:auto}a{color:#0550ae}small{color:#666}" +
  "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}pre{background:#222}a{color:#7ab7ff}small{color:#999}}";

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Answers with a page that loads nothing and runs nothing. @param body HTML, everything foreign in it escaped */
export async function sendHtml(exchange: Exchange, title: string, body: string): Promise<void> {
  const head = `<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title><style>${STYLE}</style>`;
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
  };
  await exchange.reply(
    200,
    headers,
    `<!doctype html><html lang="en"><head>${head}</head><body><h1>${escapeHtml(title)}</h1>${body}</body></html>\n`,
  );
}
