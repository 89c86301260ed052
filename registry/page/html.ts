import { createHash } from "node:crypto";
import type { Exchange } from "../exchange.ts";

/** HTML in which everything foreign is escaped. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

type Part = string | number | Markup | undefined | readonly Part[];

const textOf = (part: Part): string => {
  if (part instanceof Markup) return part.text;
  if (Array.isArray(part)) return part.map(textOf).join("");
  return part === undefined ? "" : escapeHtml(String(part));
};

/** A template whose holes are escaped, unless they are markup themselves. */
export const html = (strings: TemplateStringsArray, ...parts: Part[]): Markup =>
  new Markup(strings.map((text, i) => text + textOf(parts[i])).join(""));

export const STYLE = `
:root{color-scheme:light dark;--fg:#1f2328;--dim:#59636e;--bg:#fff;--box:#f6f8fa;--line:#d1d9e0;--link:#0550ae}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--dim:#9aa4af;--bg:#15181d;--box:#1f242b;--line:#39414b;--link:#7ab7ff}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,-apple-system,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;max-width:64rem;margin:0 auto;padding:1rem;color:var(--fg);background:var(--bg)}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1rem 0 .3rem}
a{color:var(--link)}small,.dim{color:var(--dim);font-size:.85rem}
code,pre,.mono{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.85rem;overflow-wrap:anywhere}
pre{background:var(--box);border:1px solid var(--line);border-radius:6px;margin:.3rem 0;padding:.5rem .7rem;white-space:pre-wrap;flex:1;min-width:0}
.line{display:flex;gap:.4rem;align-items:flex-start}
button,input{font:inherit;color:inherit;background:var(--box);border:1px solid var(--line);border-radius:6px;padding:.3rem .6rem}
button{cursor:pointer;font-size:.85rem;margin-top:.3rem}
input[type=search]{width:100%;padding:.5rem .7rem}
form{display:flex;gap:.4rem}
ul{list-style:none;padding:0;margin:.3rem 0}li{border-bottom:1px solid var(--line);padding:.35rem 0}
summary{cursor:pointer}summary>small{margin-left:.5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;margin:.5rem 0}dd{margin:0;min-width:0;overflow-wrap:anywhere}dt{color:var(--dim)}
table{border-collapse:collapse;width:100%;font-size:.85rem}td{border-top:1px solid var(--line);padding:.15rem .4rem;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:.2rem .9rem;margin:.5rem 0}
.right{float:right}.script{display:none}.js .script{display:inline-block}.js .noscript{display:none}[hidden]{display:none!important}
`;

/** Search while typing, and buttons that copy a line. The page works without it. */
export const SCRIPT = `
document.documentElement.classList.add("js");
document.addEventListener("click",async(event)=>{
  const button=event.target.closest("button[data-copy]");
  if(!button)return;
  const text=button.parentElement.querySelector("pre").textContent;
  try{await navigator.clipboard.writeText(text)}catch{
    const area=document.createElement("textarea");area.value=text;document.body.append(area);area.select();
    document.execCommand("copy");area.remove();
  }
  const before=button.textContent;button.textContent=button.dataset.copy;
  setTimeout(()=>{button.textContent=before},1500);
});
const search=document.querySelector("input[type=search]");
const filter=()=>{
  const words=search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for(const section of document.querySelectorAll("section[data-list]")){
    let shown=0;
    for(const row of section.querySelectorAll("[data-name]")){
      row.hidden=!words.every((word)=>row.dataset.name.includes(word));
      if(!row.hidden)shown++;
    }
    section.hidden=words.length>0&&shown===0;
  }
};
if(search){search.addEventListener("input",filter);search.form.addEventListener("submit",(event)=>{event.preventDefault();filter()});if(search.value)filter()}
`;

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
/** Only this very style and this very script; nothing is loaded, framed or sent elsewhere. */
const POLICY = `default-src 'none'; style-src ${hash(STYLE)}; script-src ${hash(SCRIPT)}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

/** Answers with a page that loads nothing. */
export async function sendHtml(
  exchange: Exchange,
  title: string,
  body: Markup,
  { lang = "en", script = false, status = 200 }: { lang?: string; script?: boolean; status?: number } = {},
): Promise<void> {
  const page = html`<!doctype html><html lang="${lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${title}</title><style>${new Markup(STYLE)}</style></head><body>${body}${script ? new Markup(`<script>${SCRIPT}</script>`) : undefined}</body></html>
`;
  await exchange.reply(
    status,
    {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": POLICY,
      "content-language": lang,
      vary: "accept-language",
    },
    page.text,
  );
}
