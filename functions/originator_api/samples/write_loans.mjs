// Writes a file of loans as Bourse takes it: BSON documents, one after the other. `npm install bson`, then `node write_loans.mjs book.bson`
import { createWriteStream } from "node:fs";
import { Decimal128, Int32, Long, serialize } from "bson";

const money = (text) => Decimal128.fromString(text); // never a number: 0.1 + 0.2 is not 0.3

const loans = [
  {
    loan_id: "L-1001",
    updated_at: new Date("2026-01-31T08:15:00Z"),
    status: "active",
    currency: "EUR",
    principal: money("12000.00"),
    outstanding_principal: money("11500.55"),
    interest_rate: money("12.99"),
    term_months: new Int32(36),
    grade: "C",
    country: "ES",
    borrower: { id: "B-77", birth_year: new Int32(1991), income_month: money("2450.00"), employment: "employed" },
    schedule: [
      { due_on: "2026-02-28", principal: money("300.10"), interest: money("124.49") },
      { due_on: "2026-03-31", principal: money("303.35"), interest: money("121.24") },
    ],
    partial_sale: true,
    sellable_share: money("90"),
    purpose: "home improvement", // a field of your own: investors can ask for it
  },
  {
    loan_id: "L-1002",
    status: "repaid",
    currency: "EUR",
    principal_minor: Long.fromNumber(50_000), // 500.00 EUR in cents
    outstanding_principal_minor: Long.fromNumber(0),
    interest_rate: "9.5",
    term_months: new Int32(12),
  },
];

const file = createWriteStream(process.argv[2]);
for (const loan of loans) file.write(serialize(loan));
file.end();
