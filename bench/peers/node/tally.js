// The counts of handlers, in the same files as apps/tally.py. Node cannot map files: each write is one pwrite.
'use strict';
const fs = require('fs');
const path = require('path');

const capacity = Number(process.env.BENCH_CAPACITY || 0);
const middle = Math.floor((capacity + 7) / 8) * 8;
const turnsPerUs = Number(process.env.BENCH_TURNS_PER_US || 1);
const one = Buffer.from([1]);
const stamp = Buffer.alloc(8);
const seen = new Uint8Array(capacity);
let file = -1;

function spin(turns) {
  let value = 1;
  for (let turn = 0; turn < turns; turn++) value = (Math.imul(value, 1103515245) + 12345) & 0x7fffffff;
  return value;
}

function claim() {
  for (let number = 0; ; number++) {
    try {
      file = fs.openSync(path.join(process.env.BENCH_TALLY, `slot-${number}`), 'wx+', 0o600);
      fs.ftruncateSync(file, middle + 16 * capacity);
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
  }
}

function stampAt(position) {
  stamp.writeDoubleLE(Number(process.hrtime.bigint()) / 1e9);
  fs.writeSync(file, stamp, 0, 8, position);
}

function handle(n, us) {
  if (file < 0) claim();
  if (us) {
    stampAt(middle + 8 * n);
    spin(Math.floor(us * turnsPerUs));
    stampAt(middle + 8 * capacity + 8 * n);
  }
  one[0] = ++seen[n];
  fs.writeSync(file, one, 0, 1, n);
}

function turnsInUs() {
  const turns = 200000;
  let best = Infinity;
  for (let round = 0; round < 60; round++) {
    const begin = process.hrtime.bigint();
    spin(turns);
    best = Math.min(best, Number(process.hrtime.bigint() - begin) / 1e3);
  }
  return turns / best;
}

module.exports = { handle };
if (require.main === module) console.log(turnsInUs());
