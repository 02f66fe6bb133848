// The publisher of an arm, like apps/publishing.py.
'use strict';
const readline = require('readline');

const now = () => Number(process.hrtime.bigint()) / 1e9;

function until(due) {
  // Blocks the loop like a sleep: there is nothing else to do meanwhile.
  const cell = new Int32Array(new SharedArrayBuffer(4));
  for (let left = due - now(); left > 0; left = due - now()) {
    if (left > 0.0005) Atomics.wait(cell, 0, 0, (left - 0.0005) * 1e3);
  }
}

async function answer(order, bulk, single) {
  const numbers = Array.from({ length: order.count || 0 }, (_, index) => order.first + index);
  const begin = now();
  if (order.do === 'bulk') {
    await bulk(numbers, order.us);
    return { seconds: now() - begin };
  }
  if (order.do === 'single') {
    for (const n of numbers) await single(n, order.us);
    return { seconds: now() - begin };
  }
  const sent = [];
  const start = begin + 0.02;
  for (let index = 0; index < order.at.length; index++) {
    until(start + order.at[index]);
    sent.push(now());
    await single(order.first + index, order.us);
  }
  return { begin_s: start, sent_s: sent };
}

async function serve(bulk, single) {
  console.log(JSON.stringify({ ready: true }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(JSON.parse(line), bulk, single)));
  }
}

module.exports = { serve };
