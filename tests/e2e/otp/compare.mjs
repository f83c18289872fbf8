// Compares codes on standard input, as `otp-codes` prints them, with those of
// otplib.
import { readFileSync } from "node:fs";
import { generate } from "otplib";

const lines = readFileSync(0, "utf8").trim().split("\n").map((line) => line.split(" "));
let agree = 0;
for (const [secret, time, code] of lines) {
  if ((await generate({ secret, epoch: Number(time) })) === code) agree += 1;
}
console.log(`otplib: ${agree} of ${lines.length} codes agree`);
process.exitCode = agree === lines.length && lines.length > 1 ? 0 : 1;
