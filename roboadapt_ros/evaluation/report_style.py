"""The look of a report: one style sheet, light and dark, phone to desk, no outside files."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfbf8; --ink: #1d1c1a; --quiet: #67645e; --rule: #e3e0d9; --fill: #f3f1eb;
  --first: #a5443a; --second: #2f638f; --good: #35704a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #171715; --ink: #eceae4; --quiet: #a19d95; --rule: #35332f; --fill: #20201d;
    --first: #e2907f; --second: #84b5dd; --good: #8cc79a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 56rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
header p, section > p { max-width: 38rem; }
h1 { font-size: 1.75rem; line-height: 1.2; font-weight: 600; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; font-weight: 600; margin: 3.25rem 0 .5rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 2rem 0 .25rem; }
p { margin: .5rem 0; }
.when, figcaption, .label, footer { color: var(--quiet); font-size: .875rem; }
.note { border-left: 3px solid var(--first); padding: .25rem 0 .25rem .9rem; }
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: 1.5rem 1.25rem;
  margin: 2rem 0 0; padding: 1.25rem 0; border: solid var(--rule); border-width: 1px 0;
}
.figures div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.figures dt { color: var(--quiet); font-size: .875rem; line-height: 1.35; }
.figures dd { margin: 0; font-size: 1.7rem; line-height: 1.25; font-weight: 500; }
.figures .bad dd { color: var(--first); }
.interval { position: relative; height: 1.1rem; max-width: 26rem; margin: .6rem 0 .15rem; }
.interval::before {
  content: ""; position: absolute; inset: .5rem 0 auto; height: 1px; background: var(--rule);
}
.interval i {
  position: absolute; top: .3rem; height: .45rem; border-radius: .25rem; opacity: .35;
}
.interval b { position: absolute; top: 0; width: 3px; height: 1.05rem; margin-left: -1px; }
.scale {
  display: flex; justify-content: space-between; max-width: 26rem; color: var(--quiet);
  font-size: .75rem;
}
.task0 .colour { background: var(--first); }
.task1 .colour { background: var(--second); }
.episodes {
  list-style: none; display: flex; flex-wrap: wrap; gap: .3rem; padding: 0; margin: .8rem 0;
}
.episodes li {
  width: 1.5rem; height: 1.5rem; border-radius: .3rem; font-size: .8rem; line-height: 1.4rem;
  text-align: center; border: 1px solid transparent; color: var(--paper);
}
.episodes li.failed { background: none; border-color: var(--quiet); color: var(--ink); }
figure { margin: 1.25rem 0 0; }
figcaption { margin-top: .4rem; max-width: 38rem; }
.strip { overflow-x: auto; padding-bottom: .4rem; }
.strip:focus-visible { outline: 2px solid var(--second); outline-offset: 3px; }
.strip table { border-collapse: separate; border-spacing: .3rem 0; margin: 0 -.3rem; width: 100%; }
.strip th {
  font-weight: 400; font-size: .8125rem; line-height: 1.3; color: var(--quiet);
  text-align: left; vertical-align: bottom; padding: 0 0 .3rem; border: 0;
}
.strip td { padding: 0 0 .3rem; border: 0; min-width: 8rem; }
.strip img { display: block; width: 100%; height: auto; border-radius: .25rem; }
.pair {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 0 2.5rem;
}
svg { display: block; width: 100%; max-width: 29rem; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; width: 100%; max-width: 38rem; }
th, td {
  text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; font-weight: 400;
}
th { color: var(--quiet); }
td.number, th.number { text-align: right; }
code, pre { font: .84em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
td code { overflow-wrap: anywhere; }
pre { background: var(--fill); padding: .9rem 1rem; border-radius: .4rem; overflow-x: auto; }
details { margin-top: .6rem; font-size: .875rem; }
summary { cursor: pointer; color: var(--quiet); }
.hidden {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--rule); }
@media print { main { max-width: none; } details > * { display: block; } }
"""
