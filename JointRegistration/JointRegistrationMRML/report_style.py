"""How the report looks, on a screen, on a telephone and on paper."""

STYLE = """\
:root { --ink: #1b2530; --muted: #5d6b78; --rule: #d5dce3; --tint: #f4f7fa; --good: #146c43; --bad: #a3271b; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 1.6rem 1.2rem 3rem; color: var(--ink); background: #fff;
       font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .2rem; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .5rem; padding-top: .8rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .15rem; }
p { margin: .3rem 0 .7rem; max-width: 75ch; }
.lead { color: var(--muted); }
.figures { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0; padding: 0; list-style: none; }
.figures li { flex: 1 1 9.5rem; background: var(--tint); border-radius: 8px; padding: .6rem .8rem; }
.figures b { display: block; font-size: 1.3rem; line-height: 1.35; white-space: nowrap; }
.figures span { color: var(--muted); font-size: .85rem; }
.notice { border-left: 4px solid #c78a00; background: #fff8e6; padding: .5rem .9rem; }
.row { display: flex; flex-wrap: wrap; gap: 6px; margin: .4rem 0 1.2rem; }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; background: #000; border-radius: 3px; }
figcaption { color: var(--muted); font-size: .8rem; padding-top: .1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .32rem 1.2rem .32rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 600; color: var(--muted); }
td.n, th.n { text-align: right; white-space: nowrap; }
tr.section td { font-weight: 600; padding-top: 1rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
code { font-size: .9em; background: var(--tint); padding: .05rem .3rem; border-radius: 4px; }
.bar { display: flex; align-items: center; gap: .6rem; font-size: .85rem; color: var(--muted); margin: .1rem 0 .5rem; }
.bar i { flex: 0 1 220px; height: 12px; border-radius: 3px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1rem 2rem;
         align-items: end; }
.plots svg { display: block; width: 100%; height: auto; font-size: 13px; }
.plots text { fill: var(--muted); }
.plots path:not(.line) { stroke: var(--rule); } .plots path.zero { stroke: #8b98a5; }
.plots .line { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
footer { color: var(--muted); font-size: .85rem; margin-top: 2.5rem;
         border-top: 1px solid var(--rule); padding-top: .8rem; }
@media (max-width: 640px) {
  body { padding: 1rem .8rem 2rem; } h1 { font-size: 1.5rem; }
  .row figure { flex: 1 1 44% !important; } .row figure:first-child { flex-basis: 100% !important; }
  th, td { padding-right: .7rem; font-size: .9rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2, h3 { break-after: avoid; } .picture, tr { break-inside: avoid; }
  .figures li { border: 1px solid var(--rule); } .row { width: 84%; }
}
"""
