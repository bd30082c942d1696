// Encodes the BSON types a loan needs, with nothing but Node: text, boolean, Date, array, object, integer, BigInt (int64) and Decimal (Decimal128).

/** A decimal number, exactly as its text says: at most 34 digits. */
export class Decimal {
  constructor(text) {
    const [, minus, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
    if (whole === undefined) throw new TypeError(`${text} is no decimal number such as 1250.00`);
    if (whole.length + fraction.length > 34) throw new RangeError(`${text} has more than 34 digits`);
    this.bits = (minus ? 1n << 127n : 0n) | (BigInt(6176 - fraction.length) << 113n) | BigInt(whole + fraction);
  }
}

/** One document: its length in octets, its elements, a zero. */
export function encode(document) {
  const elements = Object.entries(document).map(([name, value]) => {
    const [type, octets] = valueOf(name, value);
    return Buffer.concat([Buffer.of(type), cstring(name), octets]);
  });
  const body = Buffer.concat(elements);
  return Buffer.concat([int32(body.length + 5), body, Buffer.of(0)]);
}

function valueOf(name, value) {
  if (typeof value === "string") return [0x02, Buffer.concat([int32(Buffer.byteLength(value) + 1), Buffer.from(value), Buffer.of(0)])];
  if (typeof value === "boolean") return [0x08, Buffer.of(value ? 1 : 0)];
  if (typeof value === "bigint") return [0x12, int64(value)];
  if (Number.isInteger(value) && value === (value | 0)) return [0x10, int32(value)];
  if (value instanceof Decimal) return [0x13, Buffer.concat([int64(BigInt.asIntN(64, value.bits)), int64(BigInt.asIntN(64, value.bits >> 64n))])];
  if (value instanceof Date) return [0x09, int64(BigInt(value.getTime()))];
  if (Array.isArray(value)) return [0x04, encode({ ...value })];
  if (value?.constructor === Object) return [0x03, encode(value)];
  throw new TypeError(`${name}: ${value} cannot be sent; a number that is not a small integer is a Decimal or a BigInt`);
}

function cstring(name) {
  if (name.includes("\0")) throw new TypeError("a name holds no NUL");
  return Buffer.from(`${name}\0`);
}

function int32(value) {
  const octets = Buffer.alloc(4);
  octets.writeInt32LE(value);
  return octets;
}

function int64(value) {
  const octets = Buffer.alloc(8);
  octets.writeBigInt64LE(value);
  return octets;
}
