"""What the page says, in Turkish and in English."""

from __future__ import annotations

from typing import Dict

from common.imaging import formats

LANGUAGES = {"tr": "Türkçe", "en": "English"}

TURKISH: Dict[str, str] = {
    # The page
    "title": "Beyin MR görüntüsünde tümör tespiti",
    "subtitle": "Mask R-CNN, {network} · araştırma arayüzü",
    "notice": "Yalnızca araştırma amaçlıdır, tanı için kullanılamaz.",
    "language": "Dil",
    "controls": "Görüntü ve ayarlar",
    "result": "Görüntü ve bulgular",
    # What kind of network it is
    "stamp_synthetic": "Bu ağ yapay görüntülerle eğitilmiştir: bulguları anlam taşımaz, yalnızca "
    "arayüzü gösterir.",
    "stamp_smoke": "Bu ağ yalnızca {steps} adım eğitilmiştir (profil smoke): bulguları anlam "
    "taşımaz.",
    "stamp_quick": "Bu ağ küçültülmüş ayarlarla eğitilmiştir (profil {profile}): kaynaktaki ağ "
    "değildir, daha çok yanılır.",
    "stamp_short": "Bu ağ kısa eğitilmiştir ({full} yerine {steps} adım): tümör olmayan yapıları "
    "yüksek skorla tümör sanabilir.",
    "stamp_unknown_data": "Bu ağın hangi verilerle eğitildiği bilinmiyor.",
    # Controls
    "upload": "Görüntü yükle",
    "drop": "Dosyalar buraya da bırakılabilir.",
    "detect": "Tümör Tespiti",
    "detect_all": "Tümünü incele ({count})",
    "clear": "Listeyi boşalt",
    "list": "Görüntüler ({count})",
    "threshold": "Güven eşiği",
    "threshold_hint": "Yalnızca skoru bu değere ulaşan bulgular gösterilir.",
    "hint": f"{formats.listed('veya')}; " + "dosya başına en çok {megabytes} MB, görüntü başına "
    "{side} × {side} piksel.",
    "privacy": "Görüntüler yalnızca bu bilgisayarın belleğinde işlenir, kaydedilmez.",
    "greys_of_window": "gri değerler dosyanın penceresiyle",
    "greys_of_image": "en düşük gri değer siyah, en yüksek beyaz",
    # The list
    "entry_frame": "{name} · kare {frame}/{frames}",
    "entry_bad": "okunamadı",
    "entry_new": "incelenmedi",
    "entry_found": "{count} bulgu",
    # How it goes
    "empty": "Gösterilecek görüntü yok",
    "choose": "Ağ hazır. Bir MR görüntüsü yükleyin.",
    "reading": "“{name}” okunuyor…",
    "ready": "Görüntü hazır. “Tümör Tespiti” düğmesine basın.",
    "working": "Görüntü inceleniyor…",
    "done": "İnceleme tamamlandı. Bulgu sayısı: {count}.",
    "done_best": "İnceleme tamamlandı. Bulgu sayısı: {count}, en yüksek skor {score}.",
    # How the model process is
    "loading": "Ağ yükleniyor, lütfen bekleyin…",
    "restarting_killed": "Ağı çalıştıran süreç sonlandırıldı; bellek yetmemiş olabilir. Yeniden "
    "başlatılıyor, lütfen bekleyin…",
    "restarting_time": "Ağı çalıştıran süreç yanıt vermedi. Yeniden başlatılıyor, lütfen bekleyin…",
    "restarting_ended": "Ağı çalıştıran süreç sona erdi. Yeniden başlatılıyor, lütfen bekleyin…",
    "model_failed": "Ağ yüklenemedi: {reason}. Sayfa yeniden dener; düzelmezse terminalde "
    "sayfayı --run ile başka bir eğitimle başlatın.",
    "folder_gone": "Ağın klasörü ({run}) artık yerinde değil. Bellekteki ağ çalışmayı sürdürür, "
    "ama yeniden başlatılamaz: klasörü geri koyun.",
    "folder_gone_stopped": "Ağın klasörü ({run}) artık yerinde değil ve ağ durdu. Klasörü geri "
    "koyun; sayfa kendiliğinden sürer.",
    # What went wrong
    "busy": "Şu anda çok fazla görüntü sırada. Biraz sonra yeniden deneyin.",
    "time": "İnceleme çok uzun sürdü ve durduruldu. Yeniden deneyin veya daha küçük bir görüntü "
    "yükleyin.",
    "killed": "Ağı çalıştıran süreç inceleme sırasında sonlandırıldı; bellek yetmemiş olabilir. "
    "Ağ hazır olunca yeniden deneyin.",
    "ended": "Ağı çalıştıran süreç inceleme sırasında sona erdi. Ağ hazır olunca yeniden deneyin.",
    "memory": "Bu görüntü için bellek yetmedi. Başka programları kapatıp yeniden deneyin veya "
    "daha küçük bir görüntü yükleyin.",
    "failed": "Görüntü incelenemedi ({reason}). Başka bir görüntü deneyin.",
    "no_model": "Ağ şu anda çalışmıyor. Hazır olunca yeniden deneyin.",
    "too_many_bytes": "“{name}” çok büyük: dosya en çok {megabytes} MB olabilir.",
    "too_many_pixels": "“{name}” çok büyük: görüntü en çok {side} × {side} piksel içerebilir.",
    "too_narrow": "“{name}” çok dar: bir kenarı ötekinin en çok {ratio} katı olabilir.",
    "unreadable": "“{name}” okunamadı: dosya bozuk ya da desteklenmeyen türde. Bozulmamış bir "
    + f"{formats.listed('veya')} dosyası yükleyin.",
    "list_full": "“{name}” eklenemedi: liste dolu ({entries} görüntü veya {together} MB). "
    "Listeyi boşaltıp yeniden yükleyin.",
    "seg_failed": "DICOM SEG yazılamadı ({reason}). Maskeyi PNG olarak indirin.",
    # Findings
    "findings": "Bulgular",
    "none": "Bu eşikte bulgu yok. Bu, tümör olmadığı anlamına gelmez.",
    "below": "Eşiğin altında {count} aday var; en yüksek skor {score}.",
    "number": "No",
    "score": "Skor",
    "pixels": "Alan (piksel)",
    "area": "Alan (mm²)",
    "union": "Birleşik alan",
    "mark": "{number}. bulguyu görüntüde vurgula",
    "no_spacing": "mm² yalnızca dosya PixelSpacing içerdiğinde (DICOM) verilir.",
    "picture": "Yüklenen görüntü: {name}",
    "drawing": "{name} görüntüsünde işaretlenen bulgu sayısı: {count}",
    # How good the network is
    "measured": "Ölçülen başarım",
    "measured_scores": "Güven eşiği {threshold} iken bulunan tümör oranı {sensitivity}; görüntü "
    "başına {false_positives} yanlış pozitif; ortalama Dice {dice}.",
    "measured_run": "Bu ağ, {images} test görüntüsünde, her biri tümörlü.",
    "measured_run_synthetic": "Bu ağ, {images} yapay test görüntüsünde.",
    "measured_elsewhere": "Seçili eşik için ölçülmedi.",
    "measured_none": "Bu ağın tümörleri ne oranda bulduğu ölçülmedi.",
    # Downloads
    "download_mask": "Maske (PNG)",
    "download_seg": "Maske (DICOM SEG)",
    "download_overlay": "Çizimli görüntü (PNG)",
    "download_csv": "Tablo (CSV)",
    "downloads": "İndir",
    "preparing": "Dosya hazırlanıyor…",
    "file_note": "{notice} Ağ: {run} ({data}), profil {profile}. Güven eşiği {threshold}.",
    # Footer
    "model": "Ağ",
    "data": "eğitim verisi",
    "profile": "profil",
    "weights": "başlangıç ağırlıkları",
    "unknown": "bilinmiyor",
    # What the browser says when the page can no longer be reached
    "gone_tab": "Bu sekmenin süreci sona erdi; bellek yetmemiş olabilir. Sürdürmek için sayfayı "
    "yenileyin ve görüntüyü yeniden yükleyin.",
    "gone_server": "Sayfanın sunucusuna ulaşılamıyor. Terminalde “make brain-ui” ile yeniden "
    "başlatın ve yazdığı adresi açın.",
    "gone_address": "Sayfa yeniden başlatılmış. Terminalde yazan yeni adresi açın.",
    "no_answer": "“{name}” için henüz yanıt gelmedi. Bekleyin ya da sayfayı yenileyip yeniden "
    "deneyin.",
    "reload": "Sayfayı yenile",
}

ENGLISH: Dict[str, str] = {
    "title": "Tumour detection in brain MR images",
    "subtitle": "Mask R-CNN, {network} · research interface",
    "notice": "Research use only. Not for diagnosis.",
    "language": "Language",
    "controls": "Image and settings",
    "result": "Image and findings",
    "stamp_synthetic": "This network was trained on synthetic images: what it finds means "
    "nothing and only shows the page.",
    "stamp_smoke": "This network was trained for only {steps} steps (profile smoke): what it "
    "finds means nothing.",
    "stamp_quick": "This network was trained with reduced settings (profile {profile}): it is "
    "not the source's network and errs more often.",
    "stamp_short": "This network was trained briefly ({steps} steps instead of {full}): it may "
    "give structures that are no tumours high scores.",
    "stamp_unknown_data": "What data this network was trained on is not known.",
    "upload": "Upload image",
    "drop": "Files may also be dropped here.",
    "detect": "Detect tumour",
    "detect_all": "Examine all ({count})",
    "clear": "Empty the list",
    "list": "Images ({count})",
    "threshold": "Confidence threshold",
    "threshold_hint": "Only findings whose score reaches this value are shown.",
    "hint": f"{formats.NAMES}; " + "at most {megabytes} MB a file and {side} × {side} pixels "
    "an image.",
    "privacy": "Images are processed in this computer's memory only and are not stored.",
    "greys_of_window": "grey values by the window of the file",
    "greys_of_image": "lowest grey value black, highest white",
    "entry_frame": "{name} · frame {frame}/{frames}",
    "entry_bad": "not readable",
    "entry_new": "not examined",
    "entry_found": "findings: {count}",
    "empty": "No image to show",
    "choose": "The network is ready. Upload an MR image.",
    "reading": "Reading “{name}”…",
    "ready": "The image is ready. Press “Detect tumour”.",
    "working": "Examining the image…",
    "done": "Examination complete. Findings: {count}.",
    "done_best": "Examination complete. Findings: {count}, highest score {score}.",
    "loading": "Loading the network, please wait…",
    "restarting_killed": "The process that runs the network was killed; memory may have run out. "
    "It is being restarted, please wait…",
    "restarting_time": "The process that runs the network did not answer. It is being restarted, "
    "please wait…",
    "restarting_ended": "The process that runs the network has ended. It is being restarted, "
    "please wait…",
    "model_failed": "The network could not be loaded: {reason}. The page tries again; if that "
    "does not help, start it in the terminal with another training, named by --run.",
    "folder_gone": "The folder of the network ({run}) is no longer there. The network in memory "
    "goes on working but cannot be restarted: put the folder back.",
    "folder_gone_stopped": "The folder of the network ({run}) is no longer there, and the "
    "network has stopped. Put the folder back; the page then goes on by itself.",
    "busy": "Too many images are waiting at the moment. Try again a little later.",
    "time": "The examination took too long and was stopped. Try again, or upload a smaller image.",
    "killed": "The process that runs the network was killed during the examination; memory may "
    "have run out. Try again when the network is ready.",
    "ended": "The process that runs the network ended during the examination. Try again when the "
    "network is ready.",
    "memory": "There was not enough memory for this image. Close other programs and try again, "
    "or upload a smaller image.",
    "failed": "The image could not be examined ({reason}). Try another one.",
    "no_model": "The network is not running at the moment. Try again when it is ready.",
    "too_many_bytes": "“{name}” is too large: a file may have at most {megabytes} MB.",
    "too_many_pixels": "“{name}” is too large: an image may have at most {side} × {side} pixels.",
    "too_narrow": "“{name}” is too narrow: a side may be at most {ratio} times the other.",
    "unreadable": "“{name}” could not be read: it is damaged, or of a kind that is not supported. "
    "Upload an undamaged " + f"{formats.NAMES} file.",
    "list_full": "“{name}” could not be added: the list is full ({entries} images or {together} "
    "MB). Empty the list and upload it again.",
    "seg_failed": "DICOM SEG could not be written ({reason}). Download the mask as PNG.",
    "findings": "Findings",
    "none": "No finding at this threshold. That does not mean that there is no tumour.",
    "below": "Below the threshold: {count} candidate(s), the highest score {score}.",
    "number": "No.",
    "score": "Score",
    "pixels": "Area (pixels)",
    "area": "Area (mm²)",
    "union": "Combined area",
    "mark": "Highlight finding {number} in the image",
    "no_spacing": "mm² are given only where the file has PixelSpacing (DICOM).",
    "picture": "The uploaded image: {name}",
    "drawing": "Number of findings marked in {name}: {count}",
    "measured": "Measured performance",
    "measured_scores": "At a confidence threshold of {threshold} it found {sensitivity} of the "
    "tumours, with {false_positives} false positives per image; mean Dice {dice}.",
    "measured_run": "This network, on {images} test images, each with a tumour.",
    "measured_run_synthetic": "This network, on {images} synthetic test images.",
    "measured_elsewhere": "Not measured at the threshold chosen.",
    "measured_none": "What fraction of tumours this network finds was not measured.",
    "download_mask": "Mask (PNG)",
    "download_seg": "Mask (DICOM SEG)",
    "download_overlay": "Image with outlines (PNG)",
    "download_csv": "Table (CSV)",
    "downloads": "Download",
    "preparing": "Preparing the file…",
    "file_note": "{notice} Network: {run} ({data}), profile {profile}. Confidence threshold "
    "{threshold}.",
    "model": "Network",
    "data": "training data",
    "profile": "profile",
    "weights": "initial weights",
    "unknown": "unknown",
    "gone_tab": "The process of this tab has ended; memory may have run out. To go on, reload "
    "the page and upload the image again.",
    "gone_server": "The page's server cannot be reached. Start it again in the terminal with "
    "“make brain-ui” and open the address that it prints.",
    "gone_address": "The page has been restarted. Open the new address printed in the terminal.",
    "no_answer": "There is no answer to “{name}” yet. Wait, or reload the page and try again.",
    "reload": "Reload the page",
}

TEXTS = {"tr": TURKISH, "en": ENGLISH}
