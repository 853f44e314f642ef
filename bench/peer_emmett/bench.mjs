// Emmett's command handling on its SQLite store, for Cairn's benchmark: bench/peer_programs.c says how it is called.
//
// The store opens a connection for each operation and its clients may not overlap within a process, so they take turns, as they
// do in the benchmark's own SQLite contender. Settings are its own: WAL, and SQLite's synchronous=FULL, which is looked at.
// A stream is left after 100 commands, for a command reads all of its stream.
import { CommandHandler } from '@event-driven-io/emmett';
import { getSQLiteEventStore, sqliteConnection } from '@event-driven-io/emmett-sqlite';

const STREAM_EVENTS = 100;
const AGGREGATE_EVENTS = 1000;
const PROJECTED_EVENTS = 10000;
const WARM_UP_S = 0.3;

const [folder, what, clientsText, secondsText] = process.argv.slice(2);
const text = 'x'.repeat(256 - '{"text":""}'.length);
const initialState = () => ({ placed: 0 });
const evolve = (state, event) => (event.type === 'OrderPlaced' ? { placed: state.placed + 1 } : state);
const place = (state) => {
  if (state.placed >= 2 ** 40) throw new Error('too many');
  return { type: 'OrderPlaced', data: { text } };
};
const handle = CommandHandler({ evolve, initialState });
const now = () => Number(process.hrtime.bigint()) / 1e3;

const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

async function commands() {
  const fileName = `${folder}/commands.db`;
  const store = getSQLiteEventStore({ fileName });
  const connection = sqliteConnection({ fileName });
  const { synchronous } = await connection.querySingle('PRAGMA synchronous');
  const { journal_mode: journal } = await connection.querySingle('PRAGMA journal_mode');
  const run = `${process.pid}x${Date.now()}`;
  const begin = now() + WARM_UP_S * 1e6;
  const end = begin + Number(secondsText) * 1e6;
  const times = [];
  let turn = Promise.resolve();
  const client = async (index) => {
    for (let done = 0; now() < end; done++) {
      const since = now();
      const mine = turn.then(() => handle(store, `order-${run}_${index}_${Math.floor(done / STREAM_EVENTS)}`, place));
      turn = mine;
      await mine;
      if (since >= begin && now() <= end) times.push(now() - since);
    }
  };
  await Promise.all(Array.from({ length: Number(clientsText) }, (_, index) => client(index)));
  connection.close();
  times.sort((a, b) => a - b);
  const durable = synchronous >= 2 && journal === 'wal' ? 1 : 0;
  console.log(`appends=${times.length} seconds=${secondsText} p50_us=${percentile(times, 0.5).toFixed(1)} ` +
    `p99_us=${percentile(times, 0.99).toFixed(1)} durable=${durable}`);
}

const events = (count, from) => Array.from({ length: count }, (_, i) =>
  ({ type: 'OrderPlaced', data: { id: String((from + i) * 7919 % 1000), n: from + i, text } }));

async function prepare() {
  const store = getSQLiteEventStore({ fileName: `${folder}/reads.db` });
  await store.appendToStream('order-long', events(AGGREGATE_EVENTS, 0));
  for (let from = AGGREGATE_EVENTS; from < PROJECTED_EVENTS; from += 1000)
    await store.appendToStream(`order-${from}`, events(1000, from));
}

async function aggregate() {
  const store = getSQLiteEventStore({ fileName: `${folder}/reads.db` });
  const times = [];
  for (let i = 0; i < 60; i++) {
    const begin = now();
    const { state } = await store.aggregateStream('order-long', { evolve, initialState });
    times.push(now() - begin);
    if (state.placed !== AGGREGATE_EVENTS) throw new Error(`${state.placed} events`);
  }
  const warm = times.slice(10).sort((a, b) => a - b);
  console.log(`p50_us=${percentile(warm, 0.5).toFixed(1)}`);
}

// Its consumer, with batches larger than it makes them and without the pauses between them that it makes.
async function projection() {
  const fileName = `${folder}/reads.db`;
  const connection = sqliteConnection({ fileName });
  const table = `item_${process.pid}_${Date.now()}`;
  await connection.command(`CREATE TABLE ${table} (id TEXT PRIMARY KEY, n INTEGER, text TEXT) WITHOUT ROWID`);
  const store = getSQLiteEventStore({ fileName });
  const consumer = store.consumer({ pulling: { batchSize: PROJECTED_EVENTS, pullingFrequencyInMs: 0 } });
  let seen = 0;
  consumer.processor({
    processorId: `items-${Date.now()}`,
    startFrom: 'BEGINNING',
    eachMessage: async (event, context) => {
      await context.connection.command(
        `INSERT INTO ${table} (id, n, text) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET n = excluded.n, text = excluded.text`,
        [event.data.id, event.data.n, event.data.text]);
      seen++;
    },
    stopAfter: () => seen === PROJECTED_EVENTS,
  });
  const begin = now();
  await consumer.start();
  const seconds = (now() - begin) / 1e6;
  const { rows } = await connection.querySingle(`SELECT count(*) AS rows FROM ${table}`);
  if (rows !== 1000) throw new Error(`${rows} rows`);
  console.log(`events=${seen} seconds=${seconds}`);
}

await { commands, prepare, aggregate, projection }[what]();
process.exit(0);
