"""SellOffersPlaced | OffersWithdrawn | BuyOffersPlaced | BidsReturned -> [book] -> BidsPublished"""

from bourse.assessment.events import SellOffersPlaced
from bourse.assets.events import OffersWithdrawn
from bourse.aws.worker import queue_worker
from bourse.ledger.events import BidsReturned
from bourse.matching.dynamodb import DynamoBooks, DynamoOffers
from bourse.matching.match_offers import Shelf, match_offers
from bourse.trading.events import BuyOffersPlaced

handler = queue_worker(
    {SellOffersPlaced: match_offers, OffersWithdrawn: match_offers, BuyOffersPlaced: match_offers, BidsReturned: match_offers},
    books=DynamoBooks.from_env,
    offers=DynamoOffers.from_env,
    shelf=Shelf,
)
