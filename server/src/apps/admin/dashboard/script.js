'use strict';

// ---- What is known --------------------------------------------------------------------------------

const POINTS_MAX = 3600;      // intervals that are remembered
const COLUMNS_MAX = 3600;     // columns of the heat map that are remembered
const PATIENCE_MS = 5000;     // for one answer
const BACKOFF_MAX_MS = 5000;  // between attempts
const STATUS_EVERY_MS = 5000; // how often the state of the configuration is asked for
const QUANTILES = [['p50', 0.5], ['p90', 0.9], ['p99', 0.99], ['p999', 0.999]];

const model = {
  sample: null,        // the last answer
  now: null,           // what happened between the last two
  points: [],          // the same in a few numbers, for the charts: oldest first
  heat: { instance: null, ms: 1000, rows: [], columns: new Map() },
  paused: false,
  failures: 0,
  lostSince: 0,
  why: '',             // the last question had no answer
  odd: '',             // what of the last answers was not understood
  restarts: 0,
  sort: { key: 'rate', down: true },
};

const $ = (id) => document.getElementById(id);

function keyOf(series) {
  const labels = Object.entries(series.labels || {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([series.name, labels]);
}

/** An answer with its series by name and labels. */
function read(answer) {
  const index = (list) => new Map((Array.isArray(list) ? list : []).map((series) => [keyOf(series), series]));
  return { ...answer, counters: index(answer.counters), gauges: index(answer.gauges), histograms: index(answer.histograms) };
}

/** What was recorded since an earlier state of a histogram: [[lowest, highest, count], ...]. */
function grown(later, earlier) {
  const before = new Map((earlier?.buckets || []).map(([lowest, , count]) => [lowest, count]));
  const grew = (later?.buckets || []).map(([lowest, highest, count]) =>
    [lowest, highest, Math.max(0, count - (before.get(lowest) || 0))]);
  return grew.filter(([, , count]) => count > 0);
}

const countOf = (buckets) => buckets.reduce((sum, [, , count]) => sum + count, 0);

/** The value that a share of all does not exceed; null if there is none. */
function quantile(buckets, share) {
  const rank = Math.max(1, Math.ceil(share * countOf(buckets)));
  let seen = 0;
  for (const [, highest, count] of buckets) {
    seen += count;
    if (seen >= rank) return highest;
  }
  return null;
}

/** What happened between two answers; null if they are of two servers, or not in order. */
function between(earlier, later) {
  const seconds = later.uptime_seconds - earlier.uptime_seconds;
  if (earlier.instance !== later.instance || !(seconds > 0)) return null;
  const rate = (series) => Math.max(0, series.total - (earlier.counters.get(keyOf(series))?.total || 0)) / seconds;
  const family = (name) => [...later.counters.values()].filter((series) => series.name === name);
  const sum = (name) => family(name).reduce((sum, series) => sum + rate(series), 0);
  const perLoop = (name) => {
    const series = family(name)[0];
    const before = series && earlier.counters.get(keyOf(series));
    return (series?.per_loop || []).map((value, loop) => Math.max(0, value - (before?.per_loop[loop] || 0)) / seconds);
  };
  const members = (name, label) => family(name)
    .filter((series) => series.labels?.[label] !== undefined)
    .map((series) => ({ name: String(series.labels[label]), rate: rate(series), total: series.total }));
  const histogram = (name, label, value) => {
    const key = keyOf({ name, labels: label ? { [label]: value } : {} });
    return grown(later.histograms.get(key), earlier.histograms.get(key));
  };
  const latency = histogram('corelane_http_latency_nanoseconds');
  const routes = members('corelane_http_route_requests_total', 'route').map((route) => {
    const buckets = histogram('corelane_http_route_latency_nanoseconds', 'route', route.name);
    return { ...route, p50: quantile(buckets, 0.5), p99: quantile(buckets, 0.99), max: quantile(buckets, 1) };
  });
  const busy = perLoop('corelane_loop_busy_nanoseconds_total');
  const out = perLoop('corelane_bytes_sent_total');
  const open = [...later.gauges.values()].find((gauge) => gauge.name === 'corelane_connections_open');
  const requests = perLoop('corelane_http_requests_total');
  const loops = Array.from({ length: Math.min(later.loops || 0, 4096) }, (_, loop) => ({
    rate: requests[loop] || 0,
    busy: busy[loop] === undefined ? null : Math.min(1, busy[loop] / 1e9),
    open: open?.per_loop[loop] || 0,
    out: out[loop] || 0,
  }));
  const cpu = (sample) => sample.process?.cpu_user_seconds + sample.process?.cpu_system_seconds;
  const classes = members('corelane_http_responses_total', 'class');
  const ofClass = (name) => classes.find((each) => each.name === name)?.rate || 0;
  const faults = [['corelane_http_refusals_total', 'rule', 'request refused: '],
    ['corelane_http_timeouts_total', 'kind', 'timed out: '],
    ['corelane_connections_refused_total', 'reason', 'connection refused: '],
    ['corelane_connections_closed_total', 'reason', 'connection closed: ']]
    .flatMap(([name, label, what]) => members(name, label).map((each) => ({ ...each, name: what + each.name })));
  return {
    seconds, loops, routes, classes, faults, latency,
    rate: sum('corelane_http_requests_total'),
    in: sum('corelane_bytes_received_total'),
    out: sum('corelane_bytes_sent_total'),
    accepted: sum('corelane_connections_accepted_total'),
    e4: ofClass('4xx'), e5: ofClass('5xx'),
    cpu: (cpu(later) - cpu(earlier)) / seconds,
  };
}

function takeSample(answer) {
  const sample = read(answer);
  const before = model.sample;
  // First, so that one that is not understood is not compared with all that follow.
  model.sample = sample;
  if (before && before.instance !== sample.instance) {
    model.restarts += 1;
    model.now = null;
    model.points.push({ at: sample.at_unix_ms, restart: true });
  } else if (before) {
    const now = between(before, sample);
    if (!now) return;
    model.now = now;
    const point = { at: sample.at_unix_ms, rate: now.rate, e4: now.e4, e5: now.e5, in: now.in, out: now.out,
      accepted: now.accepted, open: sample.connections?.open || 0, seconds: now.seconds };
    for (const [name, share] of QUANTILES) point[name] = quantile(now.latency, share);
    point.max = quantile(now.latency, 1);
    model.points.push(point);
  }
  if (model.points.length > POINTS_MAX) model.points.splice(0, model.points.length - POINTS_MAX);
}

function takeHeat(answer) {
  const good = ({ at_unix_ms: at, counts }) => Number.isFinite(at) && Array.isArray(counts);
  // What is kept is drawn for as long as the span is: it must be as it should.
  if (!Array.isArray(answer.rows) || !answer.columns.every(good)) throw new Error('heat.json');
  const heat = model.heat;
  const same = heat.instance === answer.instance && heat.ms === answer.column_ms
    && heat.rows.length === answer.rows.length;
  // Columns stay when the server is another one: they are of other seconds.
  if (!same && heat.rows.length !== answer.rows.length) heat.columns.clear();
  heat.instance = answer.instance;
  heat.ms = answer.column_ms || 1000;
  heat.rows = answer.rows;
  for (const column of answer.columns) heat.columns.set(column.at_unix_ms, column.counts);
  const extra = heat.columns.size - COLUMNS_MAX;
  if (extra > 0) [...heat.columns.keys()].sort((a, b) => a - b).slice(0, extra).forEach((at) => heat.columns.delete(at));
}

// ---- Asking ---------------------------------------------------------------------------------------

let timer = 0;
let asking = false;
let statusAt = 0;

/** The server answered that it wants a token, or another one than `sent`. */
class WantsToken extends Error {
  constructor(sent) {
    super('it wants a token');
    this.sent = sent;
  }
}

async function get(path) {
  const headers = {};
  const token = sessionStorage.getItem('corelane-token');
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { headers, cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
  if (response.status === 401) throw new WantsToken(token);
  if (!response.ok) throw new Error(`${path} was answered with ${response.status}`);
  return response.json();
}

/** Does something with an answer, which may be of a form that this page does not know. */
function understand(what) {
  try {
    what();
  } catch (error) {
    model.odd = String(error.message);
  }
}

async function askAll() {
  const figures = await get('metrics.json');
  model.odd = '';
  understand(() => takeSample(figures));
  const newest = Math.max(0, ...model.heat.columns.keys());
  const heat = await get(newest ? `heat.json?since=${newest - 2 * model.heat.ms}` : 'heat.json');
  understand(() => takeHeat(heat));
  const now = performance.now();
  if (now - statusAt > STATUS_EVERY_MS || !statusAt) {
    const status = await get('status');
    understand(() => showReload(status.configuration));
    statusAt = now;
  }
}

async function ask() {
  if (asking || model.paused || document.hidden) return;
  asking = true;
  clearTimeout(timer);
  const began = performance.now();
  let wait = Number($('every').value);
  try {
    await askAll();
    model.failures = 0;
    unlock();
    wait = Math.max(0, wait - (performance.now() - began));
    // The second answer is the first that tells anything.
    if (!model.now) wait = Math.min(wait, 500);
  } catch (error) {
    if (error instanceof WantsToken) {
      asking = false;
      lock(error.sent);
      return;
    }
    if (!model.failures) model.lostSince = Date.now();
    wait = Math.min(BACKOFF_MAX_MS, 500 * 2 ** Math.min(model.failures, 8));
    model.failures += 1;
    model.why = String(error.message);
  }
  asking = false;
  show();
  timer = setTimeout(ask, wait);
}

// ---- The token ------------------------------------------------------------------------------------

/** Asks for a token, since `sent` was refused, or none was sent. Nothing more is asked until there is one. */
function lock(sent) {
  const kept = sessionStorage.getItem('corelane-token');
  // Another one was entered meanwhile.
  if (kept !== sent) return ask();
  sessionStorage.removeItem('corelane-token');
  say('refused', sent ? 'The server refuses this token.' : 'This server wants the admin token.');
  const first = $('ask').hidden;
  $('ask').hidden = false;
  if (first) $('token').focus();
  show();
}

function unlock() {
  $('ask').hidden = true;
  say('refused', '');
}

$('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  const token = $('token').value.trim();
  // Said again, if it is: what does not change is not read out.
  say('refused', '');
  // Others could not be sent.
  if (!/^[\w.~+/-]+=*$/.test(token)) return say('refused', 'A token has letters, digits and -._~+/ only.');
  sessionStorage.setItem('corelane-token', token);
  $('token').value = '';
  ask();
});
$('pause').addEventListener('click', () => {
  model.paused = !model.paused;
  $('pause').setAttribute('aria-pressed', model.paused);
  $('pause').textContent = model.paused ? 'Go on' : 'Pause';
  clearTimeout(timer);
  show();
  ask();
});
$('every').addEventListener('change', () => { clearTimeout(timer); ask(); });
$('span').addEventListener('change', () => show());
document.addEventListener('visibilitychange', () => { clearTimeout(timer); ask(); });
new ResizeObserver(() => show()).observe($('all'));

// ---- Figures --------------------------------------------------------------------------------------

const WHOLE = new Intl.NumberFormat('en');
const rate = (value) => (!(value > 0) ? '0' : value < 1 ? value.toFixed(2) : value < 9.95 ? value.toFixed(1) : WHOLE.format(Math.round(value)));

function scaled(value, units, base = 1000) {
  let unit = 0;
  while (value >= 999.5 && unit + 1 < units.length) { value /= base; unit += 1; }
  const digits = unit === 0 && Number.isInteger(value) ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}
const bytes = (value) => scaled(Math.max(0, value || 0), ['B', 'kB', 'MB', 'GB', 'TB']);
const time = (value) => (value === null || value === undefined ? '–' : scaled(value, ['ns', 'µs', 'ms', 's']));
const clock = (ms) => new Date(ms).toLocaleTimeString('en-GB');

function age(seconds) {
  const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

// ---- The page -------------------------------------------------------------------------------------

/** Shows what is known. What cannot be drawn is left as it was, and said. */
function show() {
  $('all').hidden = !model.sample;
  if (model.sample) [showTitle, showTiles, drawHeat, drawCharts, showTables].forEach(understand);
  showState();
}

function showState() {
  const { sample } = model;
  const waiting = !$('ask').hidden;
  const [state, words] = waiting ? ['', 'locked']
    : model.failures ? ['lost', 'no answer']
      : model.paused ? ['', 'paused']
        : model.odd ? ['lost', 'not understood']
          : !sample ? ['', 'connecting']
            : sample.stopping ? ['stopping', 'stopping'] : ['live', 'live'];
  say('state', words);
  $('state').className = state;
  say('notice', waiting ? ''
    : model.failures ? `The server has not answered since ${clock(model.lostSince)} (${model.why}); attempt ${model.failures + 1} follows.`
      : model.odd ? `Some figures are of a form that this page does not know (${model.odd}): it may be of another version than the server. Load it again.` : '');
}

function showTitle() {
  const { sample, now } = model;
  document.title = `${sample.name || 'server'}${now ? ` · ${rate(now.rate)}/s` : ''}`;
  say('title', `${sample.name || ''} ${sample.version || ''}`);
  say('about', [(sample.addresses || []).join(', '), `up ${age(sample.uptime_seconds || 0)}`,
    sample.loops === 1 ? '1 loop' : `${sample.loops} loops`,
    ...(model.restarts ? [`${model.restarts} restart${model.restarts > 1 ? 's' : ''} seen`] : [])].join(' · '));
}

function drawCharts() {
  drawLines('rate', [['rate', 'requests', '--accent'], ['e4', '4xx', '--p99'], ['e5', '5xx', '--p999']], { unit: rate });
  drawLines('quantiles', [['max', 'max', '--max'], ['p999', '99.9 %', '--p999'], ['p99', '99 %', '--p99'], ['p90', '90 %', '--p90'], ['p50', '50 %', '--p50']], { unit: time, log: true });
  drawLines('connections', [['open', 'open', '--accent'], ['accepted', 'accepted per second', '--p90']], { unit: rate });
  drawLines('bytes', [['out', 'out', '--accent'], ['in', 'in', '--p90']], { unit: bytes });
}

function showTables() {
  const { now } = model;
  if (!now) return;
  showRoutes(now.routes);
  showLoops(now.loops);
  showFaults(now.faults);
}

function showTiles() {
  const { sample, now } = model;
  const total = sample.counters.get(keyOf({ name: 'corelane_http_requests_total' }))?.total;
  if (total !== undefined) say('t-total', `${WHOLE.format(total)} in all`);
  say('t-open', WHOLE.format(sample.connections?.open || 0));
  if (sample.connections?.limit) say('t-limit', `of ${WHOLE.format(sample.connections.limit)}`);
  if (sample.process?.memory_resident_bytes) say('t-memory', `memory: ${bytes(sample.process.memory_resident_bytes)}`);
  if (!now) return;
  say('t-requests', `${rate(now.rate)}/s`);
  say('t-p50', time(quantile(now.latency, 0.5)));
  say('t-p99', time(quantile(now.latency, 0.99)));
  say('t-mean', `90 %: ${time(quantile(now.latency, 0.9))}`);
  say('t-max', `longest: ${time(quantile(now.latency, 1))}`);
  say('t-errors', `${rate(now.e5)}/s`);
  $('tile-errors').classList.toggle('bad', now.e5 > 0);
  say('t-4xx', `4xx: ${rate(now.e4)}/s`);
  say('t-out', `${bytes(now.out)}/s`);
  say('t-in', `in: ${bytes(now.in)}/s`);
  say('t-cpu', Number.isFinite(now.cpu) ? now.cpu.toFixed(2) : '–');
}

function showReload(configuration) {
  const reloads = configuration?.reloads;
  $('tile-reload').hidden = !reloads;
  if (!reloads) return;
  const failed = reloads.last_success === false;
  $('tile-reload').classList.toggle('bad', failed);
  say('t-reload', failed ? 'refused' : `no. ${configuration.generation}`);
  const pending = Array.isArray(configuration.pending_restart) && configuration.pending_restart.length > 0;
  const at = reloads.last_unix_seconds;
  say('t-reloaded', failed ? `no. ${configuration.generation} goes on` : pending ? 'parts wait for a restart' : at ? `loaded ${clock(at * 1000)}` : 'of the start');
  $('tile-reload').title = failed ? String(reloads.error || '') : '';
}

/** Gives a table as many rows as there are, each with as many cells; rows are kept, so that a selection is. */
function fill(table, rows, paint) {
  const body = $(table).tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, index) => {
    const cells = paint(row);
    const line = body.rows[index] || body.insertRow();
    line.className = row.rate > 0 ? '' : 'idle';
    cells.forEach((cell, column) => {
      let place = line.cells[column];
      if (!place) {
        place = document.createElement(column ? 'td' : 'th');
        if (!column) place.scope = 'row';
        line.append(place);
      }
      if (cell instanceof Node) {
        if (!place.firstElementChild) place.replaceChildren(cell);
        else place.firstElementChild.value = cell.value;
      } else if (place.textContent !== cell) {
        place.textContent = cell;
        if (!column) place.title = cell;
      }
    });
  });
}

function meter(value) {
  const bar = document.createElement('meter');
  bar.value = Math.min(1, Math.max(0, value || 0));
  return bar;
}

const ROUTE_COLUMNS = [['name', 'route'], ['rate', 'requests/s'], ['p50', '50 %'], ['p99', '99 %'], ['max', 'longest'], ['total', 'since start']];

for (const [key, words] of ROUTE_COLUMNS) {
  const heading = document.createElement('th');
  heading.scope = 'col';
  const button = document.createElement('button');
  button.textContent = words;
  button.addEventListener('click', () => {
    const { sort } = model;
    model.sort = { key, down: sort.key === key ? !sort.down : key !== 'name' };
    show();
  });
  heading.append(button);
  heading.dataset.key = key;
  $('routes').tHead.rows[0].append(heading);
}

function showRoutes(routes) {
  $('with-routes').hidden = !routes.length;
  const { key, down } = model.sort;
  for (const heading of $('routes').tHead.rows[0].cells) {
    if (heading.dataset.key === key) heading.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    else heading.removeAttribute('aria-sort');
  }
  const byName = (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  const order = (a, b) => (key === 'name' ? byName(a, b) : (a[key] ?? -1) - (b[key] ?? -1)) * (down ? -1 : 1) || byName(a, b);
  fill('routes', [...routes].sort(order).slice(0, 500), (route) =>
    [route.name, rate(route.rate), time(route.p50), time(route.p99), time(route.max), WHOLE.format(route.total)]);
}

function showLoops(loops) {
  fill('loops', loops.slice(0, 256).map((loop, index) => ({ ...loop, index })), (loop) =>
    [String(loop.index), rate(loop.rate), meter(loop.busy), loop.busy === null ? '–' : `${Math.round(loop.busy * 100)} %`,
      WHOLE.format(loop.open), bytes(loop.out)]);
}

function showFaults(faults) {
  const shown = faults.filter((fault) => fault.total > 0).sort((a, b) => b.rate - a.rate || b.total - a.total).slice(0, 30);
  fill('faults', shown.length ? shown : [{ name: 'nothing yet', rate: 0, total: 0 }], (fault) =>
    [fault.name, rate(fault.rate), WHOLE.format(fault.total)]);
}

// ---- Drawing --------------------------------------------------------------------------------------

const LEFT = 58;
const BOTTOM = 20;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A canvas, cleared and as sharp as the screen; the place to draw in. */
function canvas(id) {
  const element = $(id);
  const ratio = devicePixelRatio || 1;
  const [width, height] = [element.clientWidth, element.clientHeight];
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (element.width !== w || element.height !== h) { element.width = w; element.height = h; }
  const pen = element.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = '11px system-ui, sans-serif';
  return { pen, width, height, right: width - 8, top: 6, bottom: height - BOTTOM };
}

/** The span of time that is shown: it ends with the last answer. */
function span() {
  const end = model.sample.at_unix_ms;
  return [end - Number($('span').value) * 1000, end];
}

function drawTimes(area, from, to) {
  const { pen, right, bottom } = area;
  pen.fillStyle = color('--faint');
  pen.textBaseline = 'top';
  const parts = right - LEFT > 500 ? 5 : 3;
  for (let part = 0; part <= parts; part += 1) {
    pen.textAlign = part === 0 ? 'left' : part === parts ? 'right' : 'center';
    pen.fillText(clock(from + ((to - from) * part) / parts), LEFT + ((right - LEFT) * part) / parts, bottom + 5);
  }
}

function drawLevels(area, levels, y, unit) {
  const { pen, right } = area;
  pen.textAlign = 'right';
  pen.textBaseline = 'middle';
  pen.strokeStyle = color('--line');
  pen.lineWidth = 1;
  for (const level of levels) {
    const at = Math.round(y(level)) + 0.5;
    pen.beginPath();
    pen.moveTo(LEFT, at);
    pen.lineTo(right, at);
    pen.stroke();
    pen.fillStyle = color('--faint');
    pen.fillText(unit(level), LEFT - 6, at);
  }
}

/** Powers of ten between two values; and 2 and 5 times them where there are few. */
function decades(low, high) {
  const all = (steps) => {
    const levels = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const step of steps) if (step * 10 ** power >= low && step * 10 ** power <= high) levels.push(step * 10 ** power);
    }
    return levels;
  };
  const tens = all([1]);
  return tens.length > 2 ? tens : all([1, 2, 5]);
}

/** A round number that is at least so large, and its parts. */
function linear(most) {
  const power = 10 ** Math.floor(Math.log10(most || 1));
  const top = [1, 2, 4, 5, 10].find((step) => step * power >= most) * power;
  return [0, 1, 2, 3, 4].map((part) => (top * part) / 4);
}

function drawLines(id, lines, { unit, log = false }) {
  const [from, to] = span();
  const area = canvas(id);
  const { pen, right, top, bottom } = area;
  const points = model.points.filter((point) => point.at >= from && point.at <= to);
  const values = points.flatMap((point) => lines.map(([key]) => point[key])).filter((value) => value > 0);
  const most = Math.max(...values, log ? 1000 : 1);
  const least = log ? Math.min(...values, most) : 0;
  const [low, high] = log ? [least / 1.3, most * 1.3] : [0, linear(most).at(-1)];
  const x = (at) => LEFT + ((at - from) / (to - from)) * (right - LEFT);
  const y = (value) => bottom - (bottom - top) * (log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : value / high);
  drawLevels(area, log ? decades(low, high) : linear(most), y, unit);
  drawTimes(area, from, to);
  for (const point of points.filter((point) => point.restart)) {
    pen.strokeStyle = color('--bad');
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(x(point.at), top);
    pen.lineTo(x(point.at), bottom);
    pen.stroke();
    pen.setLineDash([]);
  }
  pen.lineWidth = 1.6;
  pen.lineJoin = 'round';
  for (const [key, , hue] of lines) {
    pen.strokeStyle = pen.fillStyle = color(hue);
    let last = null;
    pen.beginPath();
    for (const point of points) {
      const value = point[key];
      const known = value !== null && value !== undefined;
      // A line breaks where nothing is known: a restart, a pause, no request.
      if (known && last && point.at - last < 3000 * Math.max(point.seconds, 1)) pen.lineTo(x(point.at), y(value));
      else if (known) { pen.moveTo(x(point.at), y(value)); pen.arc(x(point.at), y(value), 0.8, 0, 7); pen.moveTo(x(point.at), y(value)); }
      last = known ? point.at : null;
    }
    pen.stroke();
  }
  legend(id, lines);
  const last = points.at(-1);
  const words = (point) => lines.filter(([key]) => point[key] !== undefined).map(([key, name]) => `${name}: ${unit(point[key])}`);
  $(id).setAttribute('aria-label', last ? words(last).join(', ') : 'nothing yet');
  hover(id, (px) => {
    const at = from + ((px - LEFT) / (right - LEFT)) * (to - from);
    const near = points.filter((point) => !point.restart).reduce((best, point) => (!best || Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best), null);
    if (!near) return null;
    return { x: x(near.at), text: [clock(near.at), ...words(near)].join('\n') };
  });
}

function legend(id, lines) {
  const place = $(`l-${id}`);
  if (place.children.length === lines.length) return;
  place.replaceChildren(...lines.map(([, name, hue]) => {
    const item = document.createElement('span');
    const swatch = document.createElement('i');
    swatch.style.background = `var(${hue})`;
    item.append(swatch, name);
    return item;
  }));
}

// Viridis, by van der Walt and Smith: told apart by those who do not tell red from green, and in grey.
const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37]];

const dark = matchMedia('(prefers-color-scheme: dark)');

/** The colour of a share. Its dark end is left out where it would not be seen. */
function viridis(share) {
  const lit = dark.matches ? 0.3 + 0.7 * share : share;
  const place = Math.min(1, Math.max(0, lit)) * (VIRIDIS.length - 1);
  const index = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const mix = VIRIDIS[index].map((from, part) => Math.round(from + (VIRIDIS[index + 1][part] - from) * (place - index)));
  return `rgb(${mix})`;
}

function drawScale() {
  const pen = $('scale').getContext('2d');
  for (let x = 0; x < 160; x += 1) {
    pen.fillStyle = viridis(x / 159);
    pen.fillRect(x, 0, 1, 10);
  }
}

/** Columns of the heat map put together into cells of time that are wide enough to be seen. */
function cells(from, to, width) {
  const { ms, columns } = model.heat;
  const per = Math.max(1, Math.ceil(((to - from) / ms) / (width / 2))) * ms;
  const found = new Map();
  for (const [at, counts] of columns) {
    if (at < from || at >= to) continue;
    const begin = Math.floor(at / per) * per;
    const cell = found.get(begin) || found.set(begin, new Map()).get(begin);
    for (const [row, count] of counts) cell.set(row, (cell.get(row) || 0) + count);
  }
  return { per, found };
}

function drawHeat() {
  const [from, to] = span();
  const area = canvas('heat');
  const { pen, right, top, bottom } = area;
  const { rows } = model.heat;
  const { per, found } = cells(from, to, right - LEFT);
  const used = [...found.values()].flatMap((cell) => [...cell.keys()]);
  pen.fillStyle = color('--faint');
  if (!used.length) {
    pen.textAlign = 'center';
    pen.fillText('no request in this span', (LEFT + right) / 2, (top + bottom) / 2);
    drawTimes(area, from, to);
    return hover('heat', () => null);
  }
  const first = Math.max(0, used.reduce((a, b) => Math.min(a, b)) - 2);
  const last = Math.min(rows.length - 1, used.reduce((a, b) => Math.max(a, b)) + 2);
  const low = Math.max(1, rows[first][0] || rows[first][1] / 2);
  const high = Math.max(low * 2, Math.min(rows[last][1], rows[last][0] * 4 || rows[last][1]));
  const x = (at) => LEFT + ((at - from) / (to - from)) * (right - LEFT);
  const y = (value) => bottom - (Math.log(Math.min(Math.max(value, low), high) / low) / Math.log(high / low)) * (bottom - top);
  const most = [...found.values()].reduce((most, cell) => [...cell.values()].reduce((a, b) => Math.max(a, b), most), 1);
  drawLevels(area, decades(low, high), y, time);
  for (const [begin, cell] of found) {
    const left = Math.max(LEFT, Math.floor(x(begin)));
    const wide = Math.max(1, Math.min(right, Math.floor(x(begin + per))) - left);
    for (const [row, count] of cell) {
      const [up, down] = [Math.floor(y(rows[row][1] + 1)), Math.floor(y(rows[row][0]))];
      pen.fillStyle = viridis(most > 1 ? Math.log(count) / Math.log(most) : 1);
      pen.fillRect(left, up, wide, Math.max(1, down - up));
    }
  }
  drawTimes(area, from, to);
  say('most', WHOLE.format(most));
  const now = model.now;
  if (now) $('heat').setAttribute('aria-label', `Latency over time; in the last ${now.seconds.toFixed(1)} seconds: ${QUANTILES.map(([name, share]) => `${name} ${time(quantile(now.latency, share))}`).join(', ')}`);
  hover('heat', (px, py) => {
    const at = from + ((px - LEFT) / (right - LEFT)) * (to - from);
    const begin = Math.floor(at / per) * per;
    const value = low * (high / low) ** ((bottom - py) / (bottom - top));
    const row = rows.findIndex(([lowest, highest]) => value >= lowest && value <= highest);
    const cell = found.get(begin);
    if (row < 0 || px < LEFT) return null;
    const all = cell ? [...cell.values()].reduce((sum, count) => sum + count, 0) : 0;
    const count = cell?.get(row) || 0;
    const share = all ? ` (${((100 * count) / all).toFixed(count === all ? 0 : 1)} %)` : '';
    return { x: px, text: `${clock(begin)}${per > 1000 ? `, ${per / 1000} s` : ''}\n${time(rows[row][0])} to ${time(rows[row][1])}\n${WHOLE.format(count)} of ${WHOLE.format(all)} requests${share}` };
  });
}

// ---- What the pointer, or the arrow keys, point at ------------------------------------------------

const pointers = new Map();

/** Has `tell(x, y)` say what is shown beside a place of a canvas. */
function hover(id, tell) {
  let pointer = pointers.get(id);
  if (!pointer) {
    pointer = { at: null };
    pointers.set(id, pointer);
    const element = $(id);
    const move = (x, y) => { pointer.at = [x, y]; point(id); };
    element.addEventListener('pointermove', (event) => move(event.offsetX, event.offsetY));
    element.addEventListener('pointerdown', (event) => move(event.offsetX, event.offsetY));
    element.addEventListener('pointerleave', () => { pointer.at = null; point(id); });
    element.addEventListener('blur', () => { pointer.at = null; point(id); });
    element.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: [-4, 0], ArrowRight: [4, 0], ArrowUp: [0, -4], ArrowDown: [0, 4] }[event.key];
      if (!step) return;
      event.preventDefault();
      const [width, height] = [element.clientWidth, element.clientHeight];
      const [x, y] = pointer.at || [width - 12, height - BOTTOM - 8];
      move(Math.min(width - 9, Math.max(LEFT, x + step[0])), Math.min(height - BOTTOM - 1, Math.max(7, y + step[1])));
    });
  }
  pointer.tell = tell;
  point(id);
}

function point(id) {
  const { at, tell } = pointers.get(id);
  const tip = $(id).nextElementSibling;
  const found = at && tell(...at);
  tip.hidden = !found;
  if (!found) return;
  tip.textContent = found.text;
  const width = $(id).clientWidth;
  tip.style.left = `${found.x > width / 2 ? Math.max(0, found.x - tip.offsetWidth - 10) : found.x + 10}px`;
  tip.style.top = `${Math.min(at[1] + 8, $(id).clientHeight - tip.offsetHeight)}px`;
}

dark.addEventListener('change', () => { drawScale(); show(); });
drawScale();
ask();
