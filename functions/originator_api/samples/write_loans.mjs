// Writes a file of loans as Bourse takes it: BSON documents, one after the other. `node write_loans.mjs book.bson`; no package is needed.
import { closeSync, openSync, writeFileSync } from "node:fs";
import { Decimal, encode } from "./bson.mjs";

const decimal = (text) => new Decimal(text); // never a number: 0.1 + 0.2 is not 0.3

const loans = [
  {
    loan_id: "L-1001",
    updated_at: new Date("2026-01-31T08:15:00Z"),
    status: "active",
    currency: "EUR",
    principal: decimal("12000.00"),
    outstanding_principal: decimal("11500.55"),
    interest_rate: decimal("12.99"),
    term_months: 36,
    grade: "C",
    country: "ES",
    borrower: { id: "B-77", birth_year: 1991, income_month: decimal("2450.00"), employment: "employed" },
    schedule: [
      { due_on: "2026-02-28", principal: decimal("300.10"), interest: decimal("124.49") },
      { due_on: "2026-03-31", principal: decimal("303.35"), interest: decimal("121.24") },
    ],
    partial_sale: true,
    sellable_share: decimal("90"),
    purpose: "home improvement", // a field of your own: investors can ask for it
  },
  {
    loan_id: "L-1002",
    status: "repaid",
    currency: "EUR",
    principal_minor: 50_000n, // 500.00 EUR in cents
    outstanding_principal_minor: 0n,
    interest_rate: "9.5",
    term_months: 12,
  },
];

const file = openSync(process.argv[2], "w");
for (const loan of loans) writeFileSync(file, encode(loan)); // each after the one before it
closeSync(file);
