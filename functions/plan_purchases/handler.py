"""BalancesChanged -> [portfolio, cash, positions] -> BuyOffersPlaced"""

from bourse.aws.worker import queue_worker
from bourse.trading.aurora import AuroraPlans
from bourse.trading.events import BalancesChanged
from bourse.trading.plan_purchases import plan_purchases

handler = queue_worker({BalancesChanged: plan_purchases}, plans=AuroraPlans.from_env)
