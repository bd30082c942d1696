-- The decision tables of assessment: what business people change without code. Every version stays; '*' owns everybody's tables.

create schema assessment;
grant usage on schema assessment to bourse_app;

create table assessment.risk_table (
  tenant_id text not null,
  kind text not null check (kind in ('default_rates', 'risk_classes')),
  version integer not null check (version > 0),
  active_from timestamptz not null,
  rows jsonb not null check (jsonb_typeof(rows) = 'array'),
  author text not null check (author <> ''),
  reason text not null check (reason <> ''),
  created_at timestamptz not null default now(),
  primary key (tenant_id, kind, version)
);
create index risk_table_by_time on assessment.risk_table (tenant_id, kind, active_from desc, version desc);
select foundation.append_only('assessment.risk_table');
grant select, insert on assessment.risk_table to bourse_app;

-- What we ship. A yearly default rate by grade is what became of 119,015 36-month consumer loans of LendingClub of April to August
-- 2015 (share charged off, spread evenly over three years); three fifths of what defaults is lost. A loan without a grade is
-- judged by the rate its originator asks for it, and lateness goes before both.
insert into assessment.risk_table (tenant_id, kind, version, active_from, author, reason, rows) values
('*', 'default_rates', 1, '2000-01-01T00:00:00Z', 'bourse', 'the table we ship', '[
  {"when": [{"field": "days_past_due", "op": "gte", "numbers": ["90"]}], "then": {"pd": "0.9", "lgd": "0.65"}},
  {"when": [{"field": "days_past_due", "op": "gte", "numbers": ["60"]}], "then": {"pd": "0.6", "lgd": "0.65"}},
  {"when": [{"field": "days_past_due", "op": "gte", "numbers": ["30"]}], "then": {"pd": "0.35", "lgd": "0.6"}},
  {"when": [{"field": "grade", "op": "in", "labels": ["A"]}], "then": {"pd": "0.019", "lgd": "0.6"}},
  {"when": [{"field": "grade", "op": "in", "labels": ["B"]}], "then": {"pd": "0.041", "lgd": "0.6"}},
  {"when": [{"field": "grade", "op": "in", "labels": ["C"]}], "then": {"pd": "0.069", "lgd": "0.6"}},
  {"when": [{"field": "grade", "op": "in", "labels": ["D"]}], "then": {"pd": "0.095", "lgd": "0.6"}},
  {"when": [{"field": "grade", "op": "in", "labels": ["E"]}], "then": {"pd": "0.119", "lgd": "0.6"}},
  {"when": [{"field": "grade", "op": "in", "labels": ["F", "G"]}], "then": {"pd": "0.175", "lgd": "0.6"}},
  {"when": [{"field": "interest_rate", "op": "lte", "numbers": ["8"]}], "then": {"pd": "0.025", "lgd": "0.6"}},
  {"when": [{"field": "interest_rate", "op": "lte", "numbers": ["12"]}], "then": {"pd": "0.05", "lgd": "0.6"}},
  {"when": [{"field": "interest_rate", "op": "lte", "numbers": ["16"]}], "then": {"pd": "0.085", "lgd": "0.6"}},
  {"when": [{"field": "interest_rate", "op": "lte", "numbers": ["22"]}], "then": {"pd": "0.12", "lgd": "0.6"}},
  {"then": {"pd": "0.2", "lgd": "0.65"}}
]'),
('*', 'risk_classes', 1, '2000-01-01T00:00:00Z', 'bourse', 'the table we ship', '[
  {"when": [{"field": "days_past_due", "op": "gte", "numbers": ["30"]}], "then": {"risk_class": "F"}, "note": "late"},
  {"when": [{"field": "expected_return", "op": "lte", "numbers": ["0"]}], "then": {"risk_class": "F"}, "note": "expected to lose money"},
  {"when": [{"field": "expected_loss", "op": "lte", "numbers": ["1.5"]}], "then": {"risk_class": "A"}},
  {"when": [{"field": "expected_loss", "op": "lte", "numbers": ["3"]}], "then": {"risk_class": "B"}},
  {"when": [{"field": "expected_loss", "op": "lte", "numbers": ["5"]}], "then": {"risk_class": "C"}},
  {"when": [{"field": "expected_loss", "op": "lte", "numbers": ["6.5"]}], "then": {"risk_class": "D"}},
  {"when": [{"field": "expected_loss", "op": "lte", "numbers": ["9"]}], "then": {"risk_class": "E"}},
  {"then": {"risk_class": "F"}}
]');

-- A tenant sees everybody's tables and his own, and adds to his own only.
alter table assessment.risk_table enable row level security;
alter table assessment.risk_table force row level security;
create policy tenant_reads on assessment.risk_table for select using (tenant_id in ((select foundation.tenant()), '*'));
create policy tenant_adds on assessment.risk_table for insert with check (tenant_id = (select foundation.tenant()) and tenant_id <> '*');
