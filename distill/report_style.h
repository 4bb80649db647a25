// Style and script of report.html.
#ifndef RADLADS_DISTILL_REPORT_STYLE_H_
#define RADLADS_DISTILL_REPORT_STYLE_H_

namespace radlads {

inline constexpr char kReportStyle[] = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f6f3; --surface: #fff; --ink: #14140f; --soft: #55544c; --line: #e2e1da; --strong: #b9b8ae;
  --student: #1f6fd0; --teacher: #c2540f; --third: #11805f; --fourth: #7a3fc4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #121211; --surface: #1b1b19; --ink: #f4f4ef; --soft: #b9b8ae; --line: #33332f; --strong: #5b5b54;
    --student: #5aa2f2; --teacher: #f0934e; --third: #3fc29a; --fourth: #b48cf2;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 28px 16px 60px; max-width: 980px; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .7rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { margin: .3rem 0 .8rem; max-width: 70ch; }
.eyebrow { color: var(--soft); font-size: .85rem; margin: 0 0 .3rem; }
.note, figcaption .unit { color: var(--soft); font-size: .85rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; margin: 1.2rem 0; padding: 0; }
.tiles > div, .card, figure.chart, .scroll, details {
  background: var(--surface); border: 1px solid var(--line); border-radius: 10px;
}
.tiles > div { padding: 12px 14px; display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.tiles dt { color: var(--soft); font-size: .82rem; line-height: 1.3; }
.tiles dd { margin: 0; font-size: 1.55rem; font-weight: 650; line-height: 1.25; white-space: nowrap; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 12px; margin-bottom: 12px; }
.charts > .wide, .charts > .narrow { grid-column: 1 / -1; }
figure.chart { margin: 0; padding: 12px 12px 6px; position: relative; }
figcaption { display: flex; flex-wrap: wrap; gap: 0 12px; align-items: baseline; font-size: .92rem; margin-bottom: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: 0 14px; font-size: .85rem; color: var(--soft); width: 100%; }
.key { display: inline-flex; align-items: center; gap: 6px; }
figure.chart > svg { width: 100%; height: auto; display: block; touch-action: pan-y; }
.narrow { display: none; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); } .axis { stroke: var(--strong); } .mark { stroke: var(--strong); stroke-dasharray: 2 3; }
.cursor { stroke: var(--soft); visibility: hidden; }
path { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.series-student { stroke: var(--student); } .series-teacher { stroke: var(--teacher); stroke-dasharray: 6 5; }
.series-third { stroke: var(--third); } .series-fourth { stroke: var(--fourth); }
path.background { stroke-width: 1; opacity: .32; }
.dot-student, .dot-teacher, .dot-third { stroke: var(--surface); stroke-width: 1.5; }
.dot-student { fill: var(--student); } .dot-teacher { fill: var(--teacher); } .dot-third { fill: var(--third); }
.tip {
  position: absolute; pointer-events: none; background: var(--ink); color: var(--page); border-radius: 6px; padding: 4px 8px;
  font-size: .8rem; line-height: 1.35; white-space: pre; z-index: 1; font-variant-numeric: tabular-nums;
}
.scroll { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { text-align: left; padding: 10px 14px 2px; color: var(--soft); font-size: .85rem; }
caption span { display: block; position: sticky; left: 14px; max-width: min(80ch, calc(100vw - 64px)); }
th, td { padding: 7px 14px; text-align: right; border-top: 1px solid var(--line); white-space: nowrap; }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .85rem; }
th:first-child, td:first-child { text-align: left; } th[scope=row] { font-weight: 600; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 0 22px; }
.card { padding: 12px 16px; margin: 12px 0; }
.card blockquote { margin: 0 0 10px; font-weight: 600; white-space: pre-wrap; overflow-wrap: anywhere; }
.answers h4 { margin: 0; font-size: .82rem; color: var(--soft); font-weight: 600; }
.answers p { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .95rem; margin: 2px 0 8px; }
.answers .who-teacher { border-left: 3px solid var(--teacher); padding-left: 12px; }
.answers .who-student { border-left: 3px solid var(--student); padding-left: 12px; }
details { margin: 10px 0; padding: 0 14px; }
summary { cursor: pointer; padding: 9px 0; font-size: .95rem; }
pre { overflow-x: auto; font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; margin: 0 0 12px; }
footer { margin-top: 2.4rem; color: var(--soft); font-size: .85rem; }
a:focus-visible, summary:focus-visible, svg:focus-visible { outline: 2px solid var(--student); outline-offset: 2px; }
@media (max-width: 620px) { .wide { display: none; } .narrow { display: block; } .minor { display: none; } th, td { padding: 7px 9px; } }
@media print { body { background: #fff; max-width: none; } }
)css";

// The value under the pointer, or at the place chosen with the arrow keys. Without it the charts lose nothing else.
inline constexpr char kReportScript[] = R"js(
function short(v) {
  if (v >= 1e6) return (v / 1e6).toPrecision(3) + ' M';
  if (v >= 1e4) return (v / 1e3).toPrecision(3) + ' k';
  return '' + Number(v.toPrecision(4));
}
document.querySelectorAll('svg[data-hover]').forEach(function (svg) {
  var data = JSON.parse(svg.dataset.hover), all = data.series[0].points.map(function (p) { return p[0]; });
  var tip = svg.parentNode.querySelector('.tip'), cursor = svg.querySelector('.cursor'), at = -1;
  function nearest(points, x) {
    return points.reduce(function (a, b) { return Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a; });
  }
  function show(x) {
    var box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    var value = nearest(data.series[0].points, x)[0];
    var u = data.x[0] + (value - data.x[2]) / (data.x[3] - data.x[2]) * (data.x[1] - data.x[0]);
    cursor.setAttribute('x1', u); cursor.setAttribute('x2', u); cursor.style.visibility = 'visible';
    tip.textContent = (data.unit === 'layer' ? 'layer ' + value : short(value) + ' ' + data.unit) + data.series.map(function (s) {
      return s.points.length ? '\n' + s.name + ' ' + short(nearest(s.points, value)[1]) : '';
    }).join('');
    tip.hidden = false;
    var left = svg.offsetLeft === undefined ? box.left - svg.parentNode.getBoundingClientRect().left : svg.offsetLeft;
    var px = left + u * scale;
    tip.style.left = Math.max(4, px + 12 + tip.offsetWidth > left + box.width ? px - 12 - tip.offsetWidth : px + 12) + 'px';
    tip.style.top = (box.top - svg.parentNode.getBoundingClientRect().top + 26) + 'px';
    at = all.indexOf(value);
  }
  function hide() { tip.hidden = true; cursor.style.visibility = 'hidden'; }
  function move(event) {
    var box = svg.getBoundingClientRect(), u = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    show(data.x[2] + (u - data.x[0]) / (data.x[1] - data.x[0]) * (data.x[3] - data.x[2]));
  }
  svg.addEventListener('pointermove', move); svg.addEventListener('pointerdown', move);
  svg.addEventListener('pointerleave', hide); svg.addEventListener('blur', hide);
  svg.addEventListener('keydown', function (event) {
    var step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.min(all.length - 1, Math.max(0, at + step));
    show(all[at]);
  });
});
)js";

}  // namespace radlads

#endif  // RADLADS_DISTILL_REPORT_STYLE_H_
